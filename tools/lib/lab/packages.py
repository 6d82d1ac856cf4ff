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
# For KVM, and for the channel that results come through.
MODULES = ("kvm-amd", "virtio_pci", "virtio_console")


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


def _fetch(target):
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as work:
        archives = [_download(package, work) for package in (KERNEL, BUSYBOX)]
        made = os.path.join(work, "made")
        os.makedirs(os.path.join(made, "modules"))
        (kernel,) = glob.glob(os.path.join(work, "boot", "vmlinuz-*"))
        shutil.copy(kernel, os.path.join(made, "vmlinuz"))
        shutil.copy(glob.glob(work + "/**/bin/busybox", recursive=True)[0], made)
        for number, (name, content) in enumerate(_load_order(work, MODULES)):
            path = os.path.join(made, "modules", f"{number:02}-{name}.ko")
            with open(path, "wb") as file:
                file.write(content)
        with open(os.path.join(made, "packages"), "w") as file:
            file.write("\n".join(archives) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        os.rename(made, target)


def get(say, refresh=False):
    """A folder with vmlinuz, busybox and modules/; fetched if it is not there."""
    folder = os.path.join(cache_folder(), "packages")
    if os.path.exists(os.path.join(folder, "packages")) and not refresh:
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
