"""The stock-KVM lab: a machine in software emulation whose KVM is stock kvm_amd.

packages   the guest kernel, its modules and busybox, fetched once through apt
guest      a kernel and initrd for VMMs to boot inside
jobs       what to run: programs, their arguments, limits and files
initramfs  a cpio archive with all of it and the shared libraries it needs
machine    the QEMU process, and the frames that tests/lab/runner.cc sends
report     streamed output, JUnit file, totals
"""
