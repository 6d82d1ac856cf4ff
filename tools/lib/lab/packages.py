"""The guest's kernel, modules and busybox, from the distribution's archive.

Packages are downloaded and unpacked, never installed: installing a kernel would
change how this machine starts.
"""

import glob
import lzma
import os
import re
import shutil
import subprocess
import tempfile

KERNEL = "linux-image-cloud-amd64"
BUSYBOX = "busybox-static"
# For KVM, for the channel that results come through, and for tap interfaces.
MODULES = ("kvm-amd", "virtio_pci", "virtio_console", "tun")
# What a guest inside the machine may be given, see guest.py.
GUEST_MODULES = ("button", "evdev", "pvpanic-mmio", "virtio_balloon", "virtio_blk",
                 "virtio_console", "virtio_input", "virtio_mmio", "virtio_net",
                 "virtio_pci", "virtio-rng", "virtiofs",
                 "vmw_vsock_virtio_transport")


class Unavailable(Exception):
    """A package cannot be had; the text says what to do."""


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "libvmm", "stock_kvm_lab")


def _run(*command, cwd=None):
    return subprocess.run(command, cwd=cwd, check=True, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True).stdout


def _download(package, folder):
    """Downloads and unpacks `package`, or the one that it stands for."""
    depends = re.search(r"^Depends: (linux-image-\S+)",
                        _run("apt-cache", "show", "--no-all-versions", package),
                        re.MULTILINE)
    name = depends.group(1) if depends else package
    # apt would drop root's rights, and then cannot write to this folder.
    _run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name,
         cwd=folder)
    (archive,) = glob.glob(os.path.join(folder, name + "_*.deb"))
    _run("dpkg-deb", "-x", archive, folder)
    return os.path.basename(archive)


def _read_module(path):
    with (lzma.open(path) if path.endswith(".xz") else open(path, "rb")) as file:
        return file.read()


def _load_order(folder, names):
    """(name, content) of `names` and all they depend on, in the order to load."""
    paths = {}
    for path in glob.glob(folder + "/**/*.ko*", recursive=True):
        name = os.path.basename(path).split(".")[0].replace("-", "_")
        paths[name] = path
    order = {}

    def add(name):
        name = name.replace("-", "_")
        # What is in no file is built into the kernel.
        if name in order or name not in paths:
            return
        content = _read_module(paths[name])
        needed = re.search(rb"\0depends=([^\0]*)\0", content)
        for other in needed.group(1).decode().split(",") if needed else ():
            add(other)
        order[name] = content

    for name in names:
        add(name)
    return list(order.items())


def numbered(modules):
    """The same with names whose order is that of the modules."""
    return [(f"{number:02}-{name}", content)
            for number, (name, content) in enumerate(modules)]


def guest_modules(folder, names):
    """(name, content) of modules for a guest and of all that they need, in order.

    `folder` is that of `get`, called with these names.
    """
    return _load_order(os.path.join(folder, "guest_modules"), names)


def _write_modules(folder, modules):
    os.makedirs(folder)
    for name, content in modules:
        with open(os.path.join(folder, name + ".ko"), "wb") as file:
            file.write(content)


def _fetch(target):
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as work:
        archives = [_download(package, work) for package in (KERNEL, BUSYBOX)]
        made = os.path.join(work, "made")
        os.makedirs(made)
        (kernel,) = glob.glob(os.path.join(work, "boot", "vmlinuz-*"))
        shutil.copy(kernel, os.path.join(made, "vmlinuz"))
        shutil.copy(glob.glob(work + "/**/bin/busybox", recursive=True)[0], made)
        _write_modules(os.path.join(made, "modules"), numbered(
            _load_order(work, MODULES)))
        _write_modules(os.path.join(made, "guest_modules"),
                       _load_order(work, GUEST_MODULES))
        for name, lines in (("packages", archives), ("module_names", MODULES),
                            ("guest_module_names", GUEST_MODULES)):
            with open(os.path.join(made, name), "w") as file:
                file.write("\n".join(lines) + "\n")
        # The old one goes with `work`.
        if os.path.exists(target):
            os.rename(target, os.path.join(work, "old"))
        os.rename(made, target)


def _has(folder, modules):
    """Whether all was fetched, and that when `modules` were among the guests'."""
    def lines(name):
        try:
            with open(os.path.join(folder, name)) as file:
                return file.read().split()
        except FileNotFoundError:
            return []
    return (bool(lines("packages")) and set(MODULES) <= set(lines("module_names"))
            and set(modules) <= set(lines("guest_module_names")))


def get(say, refresh=False, modules=()):
    """A folder with vmlinuz, busybox and modules/, and guest_modules/ if `modules`
    names any; fetched if it is not there."""
    unknown = set(modules) - set(GUEST_MODULES)
    if unknown:
        raise Unavailable(f"no module for guests: {', '.join(sorted(unknown))}; "
                          f"there are {', '.join(GUEST_MODULES)}")
    folder = os.path.join(cache_folder(), "packages")
    if not refresh and _has(folder, modules):
        return folder
    say(f"fetching {KERNEL} and {BUSYBOX} into {folder}")
    os.makedirs(cache_folder(), exist_ok=True)
    try:
        try:
            _fetch(folder)
        except subprocess.CalledProcessError:
            # No package lists yet, or old ones.
            subprocess.run(("apt-get", "-q", "update"), capture_output=True,
                           stdin=subprocess.DEVNULL)
            _fetch(folder)
    except FileNotFoundError as error:
        raise Unavailable(f"{error.filename} is missing: the lab fetches its "
                          "kernel from Debian's archive by apt-get") from error
    except subprocess.CalledProcessError as error:
        raise Unavailable(
            f"'{' '.join(error.cmd)}' failed: {error.stderr.strip()}\n"
            f"The lab needs {KERNEL} and {BUSYBOX} of Debian 12 or later: see that "
            "/etc/apt names an archive which has them and run 'apt-get update' "
            f"as root, or copy {folder} from a machine that has it.") from error
    return folder
