"""QR codes of links and tokens that pages show at once: plain, as SVG."""

from shared.images.image_spec import ImageSpec
from shared.infra.event_loop import run_in_thread


def render_plain_svg(text: str) -> str:
    """Return the SVG of a QR code with this text. Rendered in a thread."""

    def render() -> bytes:
        from shared.images.render import render  # noqa: PLC0415 - loads the renderer on first use

        return render(ImageSpec(text=text, format="svg"))

    return run_in_thread(render).decode()
