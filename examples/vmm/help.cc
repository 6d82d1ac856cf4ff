// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/options.h"

namespace vmm {

const char kHelp[] =
    R"(usage: vmm --kernel FILE [--initrd FILE] [--append TEXT] [options]
       vmm --multiboot FILE [--module "FILE TEXT"]... [--append TEXT] [options]
       vmm --firmware FILE | --elf FILE [options]
       vmm --config machine.txtpb [options]

Boots an unmodified operating system on a PC of libvmm; its first serial port is
this terminal. Ctrl-A then X ends it, then P presses the power button, then S
prints the exits so far, then Ctrl-A sends a Ctrl-A.

What to boot:
  --kernel FILE      a Linux bzImage, or a vmlinux with a PVH entry
  --unpack           unpack a bzImage here instead of in the guest
  --initrd FILE      its initial RAM disk
  --append TEXT      its command line, or that of --multiboot
  --multiboot FILE   a kernel of the Multiboot 1 specification
  --module "FILE TEXT"
                     a module for it, and words for its string; may be given
                     again
  --firmware FILE    a firmware such as SeaBIOS, started at the reset vector
  --elf FILE         a 64-bit ELF program, entered in long mode
  --config FILE      a machine description in protobuf text form (examples/vmm/
                     debian.txtpb is one); options behind it change what it
                     says, it replaces what those before it said

The machine:
  --smp N            vCPUs (default 1), or sockets=N,cores=N,threads=N
  --memory SIZE      RAM in MiB (default 512), or with a unit: 512M, 2G
  --cpu MODEL        host (default), or x86-64-v2, -v3, -v4
  --irqchip WHERE    kernel (default), split, none
  --debug-console P  a debug console at port P (0xe9, 0x402), on stderr
  --no-pci           leave the PCI bus out
  --keyboard         put a keyboard controller in
  --exit-port        put QEMU's isa-debug-exit at port 0xf4
  --test-device      put in what kvm-unit-tests need: their test device, the
                     exit port and the firmware configuration device

Virtio devices; those that name no transport are on PCI, with --no-pci over MMIO:
  --disk FILE[,ro][,io_uring][,cache=none|writeback|unsafe]
         [,limit=OPS[/BYTES]][,queues=N][,serial=ID]
                     a raw image or block device, /dev/vda and so on; ops and
                     bytes in a second, with K, M, G or T
  --net tap=NAME|user|pair=PATH[,mac=ADDRESS][,queues=N][,limit=OPS[/BYTES]]
                     a network: a tap interface, this user's connections, or a
                     cable to another vmm with the same PATH, for which it
                     waits; queues for tap only
  --vsock CID[,uds=PATH]
                     sockets to the guest: connect to PATH and write "CONNECT
                     port"; its own connections come to PATH_port
  --share DIRECTORY:TAG[,ro]
                     a folder: mount -t virtiofs TAG /mnt
  --rng[=limit=BYTES]
                     random numbers, so many bytes in a second
  --balloon[=MIB]    takes memory back, so much of it at once
  --console          /dev/hvc0 on this terminal, beside or instead of ttyS0
                     (all of these take transport=pci|mmio and
                     doorbell=inline|eventfd|poll, too: --console=transport=mmio,
                     --balloon=64,doorbell=poll)
  --virtio-mmio      all over MMIO that name no transport
  --doorbell HOW     how guests ring: inline, on the vCPU's thread; eventfd, in
                     this program's loop (default of --net and io_uring, others
                     are inline); poll, not at all
  --split-rings      do not offer packed rings

This program:
  --no-reboot        end when the guest resets, instead of booting again
  --stats            at the end, exits by reason, port and address
  --quiet            no progress, no last line
  --check            only say whether this KVM can run an operating system: exit
                     code 0 if so, 1 if it emulates kernel mode
  --help             this text

Exit code:
    0  the guest powered off
    2  wrong usage
    3  it reset (--no-reboot)
    4  it panicked
    5  triple fault
    6  it halted for good
    7  KVM could not run it on
    8  another sleep state
  odd  the guest's own code for the exit port
  126  an error of the host: a file, KVM, the output
  129, 130, 143
       ended by SIGHUP, by SIGINT or Ctrl-A X, by SIGTERM
)";

}  // namespace vmm
