"""Cameras of a browser under test: a device that plays a film, and a canvas that shows what the test draws."""

from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageFilter

from shared.images.symbol import encode

WIDTH, HEIGHT = 1280, 720
FRAMES = 12
CANVAS = """
if (navigator.mediaDevices) (() => {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 720;
  const context = canvas.getContext('2d');
  let rows = [];
  const draw = () => {
    context.fillStyle = '#ddd';
    context.fillRect(0, 0, 720, 720);
    const module = Math.floor(500 / (rows.length + 8));
    rows.forEach((row, y) => [...row].forEach((dark, x) => {
      context.fillStyle = dark === '1' ? '#000' : '#ddd';
      context.fillRect(100 + (x + 4) * module, 100 + (y + 4) * module, module, module);
    }));
  };
  setInterval(draw, 40);
  window.show = (next) => { rows = next; draw(); };
  window.tracks = [];
  window.constraints = [];
  window.lights = [];
  navigator.mediaDevices.getUserMedia = async ({ video }) => {
    constraints.push(video);
    const stream = canvas.captureStream(25);
    const [track] = stream.getVideoTracks();
    const deviceId = video.deviceId?.exact ?? 'first';
    track.getSettings = () => ({ deviceId });
    track.getCapabilities = () => ({ torch: true });
    track.applyConstraints = async ({ advanced }) => void lights.push(advanced[0].torch);
    tracks.push(track);
    return stream;
  };
  navigator.mediaDevices.enumerateDevices = async () =>
    ['first', 'second'].map((deviceId) => ({ kind: 'videoinput', deviceId }));
  navigator.permissions.query = async () => ({ state: 'granted' });
})();
"""
"""A camera with a light, beside a second one. `show(rows)` puts a symbol in front of it."""


def rows(text: str) -> list[str]:
    """Return the rows of the symbol of this text, for `show`."""
    return ["".join("1" if dark else "0" for dark in row) for row in encode(text, "M")]


def film(path: Path, png: bytes, *, blur: float = 0) -> Path:
    """Write a film of a printed image on a table, tilted, moving a little. `blur` is a share of a module's width."""
    printed = Image.open(BytesIO(png), formats=["PNG"]).convert("L")
    printed = printed.resize((400, 400)).rotate(7, expand=True, fillcolor=170, resample=Image.Resampling.BICUBIC)
    with path.open("wb") as file:
        for number in range(FRAMES):
            frame = Image.new("L", (WIDTH, HEIGHT), 170)
            frame.paste(printed, ((WIDTH - printed.width) // 2 + number % 3, (HEIGHT - printed.height) // 2))
            # A symbol of version 3 with its quiet zone has 37 modules.
            frame.filter(ImageFilter.GaussianBlur(blur * 400 / 37)).convert("RGB").save(file, "JPEG", quality=85)
    return path


def device(path: Path) -> tuple[str, ...]:
    """Return the arguments of a browser whose camera plays this film, without asking."""
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={path}",
    )


def phone_options(base_url: str) -> dict[str, Any]:
    """Return the options of a context that is a phone."""
    return {"base_url": base_url, "viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
