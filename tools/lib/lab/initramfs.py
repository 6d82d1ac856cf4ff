"""A cpio archive in the `newc` format: the kernel unpacks it as its first root."""

import os
import re
import stat
import subprocess
import tempfile


class Initramfs:
    """Collects files; `write` stores them.

    There is no compression: unpacking is emulated, and slow.
    """

    def __init__(self):
        self._entries = {}  # path -> (mode, content: bytes | host path, device)

    def folder(self, path):
        path = path.strip("/")
        if path and path not in self._entries:
            self.folder(os.path.dirname(path))
            self._entries[path] = (stat.S_IFDIR | 0o755, b"", (0, 0))

    def _add(self, path, mode, content, device=(0, 0)):
        path = path.strip("/")
        self.folder(os.path.dirname(path))
        self._entries[path] = (mode, content, device)

    def device(self, path, major, minor):
        self._add(path, stat.S_IFCHR | 0o600, b"", (major, minor))

    def link(self, path, target):
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def text(self, path, content, mode=0o644):
        self._add(path, stat.S_IFREG | mode, content.encode())

    def data(self, path, content, mode=0o644):
        self._add(path, stat.S_IFREG | mode, content)

    def file(self, path, host_path):
        mode = stat.S_IMODE(os.stat(host_path).st_mode) | 0o444
        self._add(path, stat.S_IFREG | mode, host_path)

    def tree(self, path, host_path):
        """A file, or a folder with all that it holds, links followed."""
        if not os.path.isdir(host_path):
            self.file(path, host_path)
            return
        self.folder(path)
        for name in sorted(os.listdir(host_path)):
            self.tree(f"{path}/{name}", os.path.join(host_path, name))

    def program(self, path, host_path):
        """An executable without its debug information, and its libraries."""
        self._add(path, stat.S_IFREG | 0o755, _stripped(host_path))
        for library in shared_libraries(host_path):
            if library.strip("/") not in self._entries:
                self.file(library, library)

    def write(self, out):
        number = 0
        for path, (mode, content, device) in sorted(self._entries.items()):
            number += 1
            if isinstance(content, str):
                with open(content, "rb") as file:
                    content = file.read()
            _write_entry(out, number, path, mode, content, device)
        _write_entry(out, 0, "TRAILER!!!", 0, b"", (0, 0))


def _write_entry(out, number, path, mode, content, device):
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, *device,
              len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    out.write(header + name + bytes(-(len(header) + len(name)) % 4))
    out.write(content + bytes(-len(content) % 4))


def _is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def _stripped(path):
    """The program's content without its debug sections."""
    with tempfile.NamedTemporaryFile() as copy:
        if _is_elf(path):
            subprocess.run(("objcopy", "--strip-debug", path, copy.name),
                           check=True, capture_output=True)
        with open(copy.name if _is_elf(path) else path, "rb") as file:
            return file.read()


def shared_libraries(path):
    """Absolute paths of the libraries that the dynamic linker would load."""
    if not _is_elf(path):
        return []
    run = subprocess.run(("ldd", path), capture_output=True, text=True)
    missing = re.findall(r"^\s*(\S+) => not found", run.stdout, re.MULTILINE)
    if missing:
        raise FileNotFoundError(f"{path} needs {', '.join(missing)}, not found here")
    return re.findall(r"(/\S+) \(0x", run.stdout)
