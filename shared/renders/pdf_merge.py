"""Concatenation of reportlab's PDFs: their objects are copied and renumbered (ISO 32000-1, 7.5).

Memory holds one of them at a time. pdfium and qpdf hold the objects of the whole file: decision record 34 has the
figures. This reads only what reportlab writes, with a classic cross-reference table and without object streams.
"""

import re
from collections.abc import Iterator

from shared.infra.storage.base import Writer

REFERENCE = re.compile(rb"\b(\d+) 0 R\b")
KIDS = re.compile(rb"/Kids \[([^\]]*)\]")
PARENT = re.compile(rb"/Parent \d+ 0 R")
STREAM = re.compile(rb"\bstream\r?\n")
CATALOG, PAGES, FIRST = 1, 2, 3
"""Object numbers of the catalog, of the page tree, and of the first copied object."""


class PdfMerger:
    """Writes a PDF that consists of the pages of other PDFs."""

    def __init__(self, out: Writer) -> None:
        self._out = out
        self._offsets: dict[int, int] = {}
        self._pages: list[int] = []
        self._next = FIRST
        self.written = 0
        # Four bytes above 127 mark the file as binary.
        self._write(b"%PDF-1.6\n%\xe2\xe3\xcf\xd3\n")

    def add(self, pdf: bytes) -> None:
        """Append every page."""
        objects = dict(_objects(pdf))
        pages = _pages(objects)
        numbers = {page: self._number() for page in pages}
        self._pages += numbers.values()
        queue = list(pages)
        while queue:
            number = queue.pop()
            body = objects[number]
            head = _head(body)
            rest = body[len(head) :]
            if number in pages:
                head = PARENT.sub(b"", head)
            for old in map(int, REFERENCE.findall(head)):
                if old not in numbers:
                    numbers[old] = self._number()
                    queue.append(old)
            head = REFERENCE.sub(lambda match: b"%d 0 R" % numbers[int(match[1])], head)
            if number in pages:
                head = head.replace(b"/Type /Page", b"/Type /Page /Parent %d 0 R" % PAGES, 1)
            self._object(numbers[number], head + rest)

    def finish(self) -> int:
        """Write catalog, page tree and cross-reference table. Return the size of the file in bytes."""
        kids = " ".join(f"{number} 0 R" for number in self._pages)
        # Viewers print at the true size, instead of fitting the page into the printer's margins.
        preferences = "/ViewerPreferences << /PrintScaling /None >>"
        self._object(CATALOG, f"<< /Type /Catalog /Pages {PAGES} 0 R {preferences} >>".encode())
        self._object(PAGES, f"<< /Type /Pages /Count {len(self._pages)} /Kids [ {kids} ] >>".encode())
        start = self.written
        self._write(b"xref\n0 %d\n0000000000 65535 f \n" % self._next)
        for number in range(1, self._next):
            self._write(b"%010d 00000 n \n" % self._offsets[number])
        trailer = b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        self._write(trailer % (self._next, CATALOG, start))
        return self.written

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def _object(self, number: int, body: bytes) -> None:
        self._offsets[number] = self.written
        self._write(b"%d 0 obj\n%b\nendobj\n" % (number, body))

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.written += len(data)


def _objects(pdf: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of every object, without `obj` and `endobj`."""
    table = int(pdf[pdf.rindex(b"startxref") + 9 :].split()[0])
    header, _, lines = pdf[table:].partition(b"\n")[2].partition(b"\n")
    count = int(header.split()[1])
    offsets = [int(lines[number * 20 : number * 20 + 10]) for number in range(1, count)]
    ends = dict(zip(sorted(offsets), [*sorted(offsets)[1:], table], strict=True))
    for number, offset in enumerate(offsets, 1):
        body = pdf[offset : ends[offset]]
        begin = body.index(b"obj") + 3
        yield number, body[begin : body.rindex(b"endobj")].strip(b"\r\n ")


def _head(body: bytes) -> bytes:
    """Return an object without its stream, whose bytes are arbitrary."""
    stream = STREAM.search(body)
    return body if stream is None else body[: stream.start()]


def _pages(objects: dict[int, bytes]) -> list[int]:
    """Return the object numbers of the pages, in the order of the document."""
    for body in objects.values():
        if (kids := KIDS.search(_head(body))) is not None:
            return [int(number) for number in REFERENCE.findall(kids[1])]
    raise ValueError("a PDF without pages")
