"""Write the libraries, icons and fonts that pages load, from npm packages, and list them in VENDORED.md.

A rewrite must match exactly once, so a new version that changed there fails instead of losing the rewrite.
"""

import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

STATIC = Path(__file__).parent.parent / "web" / "pages" / "static"
LIST = STATIC / "vendor" / "VENDORED.md"
SOURCE_MAP = re.compile(rb"\n//# sourceMappingURL=.*\s*$")

PREACT, HTM, LEAFLET = "preact@10.29.8", "htm@3.1.1", "leaflet@1.9.4"
ZXING, ATLAS, LUCIDE = "zxing-wasm@3.1.4", "world-atlas@2.0.2", "lucide-static@1.62.0"
FONT = "@fontsource-variable/atkinson-hyperlegible-next@5.3.0"
LICENSES = {
    PREACT: "MIT",
    HTM: "Apache-2.0",
    LEAFLET: "BSD-2-Clause",
    ZXING: "MIT; the decoder is ZXing-C++, Apache-2.0",
    ATLAS: "ISC; the data is Natural Earth, public domain",
    LUCIDE: "ISC",
    FONT: "OFL-1.1",
}


@dataclass(frozen=True)
class VendoredFile:
    """A file below `static`, where it is from, and what is changed in it."""

    path: str
    package: str
    source: str
    rewrite: tuple[bytes, bytes] | None = None
    """Text and its replacement."""
    last_line: bytes = b""
    """A line that is appended."""


FILES = (
    VendoredFile("vendor/preact.js", PREACT, "dist/preact.module.js"),
    VendoredFile("vendor/hooks.js", PREACT, "hooks/dist/hooks.module.js", (b'from"preact"', b'from"./preact.js"')),
    VendoredFile("vendor/htm.js", HTM, "dist/htm.module.js"),
    # Trusted Types and img-src 'self' allow no data: image, and a module cannot read a global of a classic script.
    VendoredFile(
        "vendor/leaflet/leaflet.js",
        LEAFLET,
        "dist/leaflet.js",
        (
            b'"data:image/gif;base64,R0lGODlhAQABAAD/ACwAAAAAAQABAAACADs="',
            b'new URL("../../img/empty.gif",import.meta.url).href',
        ),
        b"export const L=globalThis.leaflet;\n",
    ),
    VendoredFile("vendor/leaflet/leaflet.css", LEAFLET, "dist/leaflet.css"),
    *(
        VendoredFile(f"vendor/leaflet/images/{name}.png", LEAFLET, f"dist/images/{name}.png")
        for name in ("layers", "layers-2x", "marker-icon", "marker-icon-2x", "marker-shadow")
    ),
    VendoredFile(
        "vendor/zxing/reader.js",
        ZXING,
        "dist/iife/reader/index.js",
        last_line=b"export const {prepareZXingModule,readBarcodes}=ZXingWASM;\n",
    ),
    VendoredFile("vendor/zxing/zxing_reader.wasm", ZXING, "dist/reader/zxing_reader.wasm"),
    VendoredFile("vendor/land-110m.json", ATLAS, "land-110m.json"),
    VendoredFile("fonts/atkinson-latin.woff2", FONT, "files/atkinson-hyperlegible-next-latin-wght-normal.woff2"),
    VendoredFile(
        "fonts/atkinson-latin-ext.woff2", FONT, "files/atkinson-hyperlegible-next-latin-ext-wght-normal.woff2"
    ),
    *(
        VendoredFile(f"vendor/licenses/{package.rpartition('@')[0].rpartition('/')[2]}.txt", package, "LICENSE")
        for package in LICENSES
    ),
)
SPRITE = "img/sprite.svg"
ICONS = re.findall(
    r"\S+",
    "arrow-left arrow-right backpack badge-check building-2 calendar camera chart-column check check-check "
    "chevron-down chevron-right circle-check circle-question-mark circle-user circle-x clock clock-alert copy "
    "download ellipsis external-link eye eye-off file-text flag flashlight gift history hourglass house image inbox "
    "info key key-round keyboard languages link list-checks locate-fixed lock log-out map map-pin map-pin-off "
    "maximize menu minus monitor moon package palette pause pencil play plus printer puzzle qr-code radio refresh-cw "
    "route scan-qr-code search send settings shield-alert smartphone stamp sun switch-camera tag target ticket "
    "trash-2 triangle-alert trophy undo-2 upload users wifi-off x",
)


def main() -> int:
    """Write the files, or check them. Return the exit status."""
    if sys.argv[1:] == ["--check"]:
        differences = list(find_differences())
        print("\n".join(differences) or "The vendored files are as VENDORED.md lists them.")
        return 1 if differences else 0
    with TemporaryDirectory() as folder:
        for file in FILES:
            write(STATIC / file.path, read(file, folder))
        write(STATIC / SPRITE, make_sprite(folder))
    write(LIST, make_list().encode())
    print(f"Wrote {len(FILES) + 1} files below {STATIC.name}, listed in {LIST.name}.")
    return 0


def find_differences() -> Iterator[str]:
    """Return a sentence for each file that is missing, or is not as listed."""
    listed = dict(re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|", LIST.read_text(), re.MULTILINE))
    if set(listed) != (paths := {file.path for file in FILES} | {SPRITE}):
        yield f"{LIST.name} does not list exactly the files of script/vendor.py: {sorted(paths ^ set(listed))}"
    for path, digest in listed.items():
        if not (STATIC / path).is_file():
            yield f"{path} is missing"
        elif sha256((STATIC / path).read_bytes()).hexdigest() != digest:
            yield f"{path} is not the file of {LIST.name}"


def read(file: VendoredFile, folder: str) -> bytes:
    """Return the content of a file, rewritten. Raise ValueError if its text is not found exactly once."""
    content = member(file.package, file.source, folder)
    if file.path.endswith((".js", ".css")):
        content = SOURCE_MAP.sub(b"\n", content)
    if file.rewrite:
        old, new = file.rewrite
        if content.count(old) != 1:
            raise ValueError(f"{file.path}: {old.decode()} occurs {content.count(old)} times, not once")
        content = content.replace(old, new)
    return content + file.last_line


def make_sprite(folder: str) -> bytes:
    """Return an SVG with one symbol per icon."""
    symbols = []
    for name in ICONS:
        svg = member(LUCIDE, f"icons/{name}.svg", folder).decode()
        shapes = re.sub(r"\s+", " ", svg[svg.index(">", svg.index("<svg")) + 1 : svg.index("</svg>")]).strip()
        symbols.append(
            f'<symbol id="{name}" viewBox="0 0 24 24">{shapes.replace(" />", "/>").replace("> <", "><")}</symbol>'
        )
    return ('<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n").encode()


def make_list() -> str:
    """Return VENDORED.md: each file with its package, change and digest."""
    rows = [
        f"| `{file.path}` | {file.package} | `{file.source}` | {change(file)} | `{digest(file.path)}` |"
        for file in FILES
    ]
    rows.append(f"| `{SPRITE}` | {LUCIDE} | `icons/*.svg` | {len(ICONS)} icons in one file | `{digest(SPRITE)}` |")
    licenses = [f"- {package}: {license_name}" for package, license_name in LICENSES.items()]
    return "\n".join(
        (
            "# Vendored files",
            "",
            "`script/vendor` writes these files and this list. `script/vendor --check` compares them.",
            "",
            *licenses,
            "",
            "| file | package | source | change | SHA-256 |",
            "|---|---|---|---|---|",
            *rows,
            "",
        )
    )


def change(file: VendoredFile) -> str:
    """Return what is changed in a file, in words."""
    changes = ([f"`{file.rewrite[0].decode()[:24]}` replaced"] if file.rewrite else []) + (
        ["a last line with the export"] if file.last_line else []
    )
    return ", ".join(changes) or "none"


def digest(path: str) -> str:
    return sha256((STATIC / path).read_bytes()).hexdigest()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def member(package: str, source: str, folder: str) -> bytes:
    """Return the content of a file in a package."""
    with tarfile.open(pack(package, folder)) as archive:
        content = archive.extractfile(f"package/{source}")
        if content is None:
            raise ValueError(f"{package} has no file {source}")
        return content.read()


@cache
def pack(package: str, folder: str) -> Path:
    """Download a package. Return its archive."""
    command = ["npm", "pack", "--silent", "--pack-destination", folder, package]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]
    return Path(folder) / name


if __name__ == "__main__":
    sys.exit(main())
