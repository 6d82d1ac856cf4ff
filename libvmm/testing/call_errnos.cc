// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/call_errnos.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>

#include "libvmm/kvm/abi.h"

namespace libvmm::testing::internal {
namespace {

struct Name {
  unsigned long request;
  const char* name;
};
constexpr Name kNames[] = {
#define LIBVMM_KVM_CODE(name, code) {code, #name},
#define LIBVMM_KVM_SIZE(name, size)
#include "libvmm/kvm/abi_rows.inc"
#undef LIBVMM_KVM_CODE
#undef LIBVMM_KVM_SIZE
};

// What the kernel's KVM code returns for each request on x86 (api.rst and
// virt/kvm, arch/x86/kvm up to Linux 6.18). Three are common:
//   EIO     a VM or vCPU request: the VM is dead, or another process made it;
//   EFAULT  the argument, or a buffer that it names, is not mapped;
//   ENOTTY  the request is younger than Linux 4.20, or only some vendor
//           modules have it.
// EINTR is not common: the vCPU's lock is waited for killably, so that only a
// dying process would see it.
struct Row {
  unsigned long request;
  std::span<const int> errnos;
};
constexpr Row kRows[] = {
    // /dev/kvm. ENOTTY from GET_API_VERSION: some other device.
    {KVM_GET_API_VERSION, kCan<ENOTTY, EINVAL>},
    {KVM_CREATE_VM, kCan<EINTR, ENOMEM, EMFILE, ENFILE, EINVAL, EBUSY>},
    {KVM_GET_VCPU_MMAP_SIZE, kCan<EINVAL>},
    {KVM_GET_MSR_INDEX_LIST, kCan<E2BIG, EFAULT>},
    {KVM_GET_MSR_FEATURE_INDEX_LIST, kCan<E2BIG, EFAULT>},
    {KVM_GET_SUPPORTED_CPUID, kCan<E2BIG, ENOMEM, EFAULT>},
    {KVM_GET_EMULATED_CPUID, kCan<E2BIG, ENOMEM, EFAULT>},
    {KVM_GET_SUPPORTED_HV_CPUID, kCan<E2BIG, ENOMEM, EFAULT, ENOTTY>},
    {KVM_X86_GET_MCE_CAP_SUPPORTED, kCan<EFAULT>},
    // /dev/kvm and VM. Old kernels do not answer on a VM.
    {KVM_CHECK_EXTENSION, kCan<ENOTTY, EINVAL, EIO>},
    // VM, vCPU, and which capability decides what else.
    {KVM_ENABLE_CAP, kCan<EINVAL, EPERM, EEXIST, ENOMEM, EFAULT, EIO>},

    // VM: what it is made of.
    {KVM_CREATE_VCPU, kCan<EEXIST, EINVAL, ENOMEM, EMFILE, ENFILE, EIO>},
    {KVM_SET_TSS_ADDR, kCan<EINVAL, EEXIST, ENOMEM, EFAULT, EIO>},
    {KVM_SET_IDENTITY_MAP_ADDR, kCan<EINVAL, EFAULT, EIO>},
    {KVM_SET_BOOT_CPU_ID, kCan<EBUSY, EIO>},
    {KVM_SET_NR_MMU_PAGES, kCan<EINVAL, EIO>},
    {KVM_GET_NR_MMU_PAGES, kCan<EINVAL, EIO>},
    {KVM_CREATE_DEVICE, kCan<ENODEV, EPERM, EMFILE, ENOMEM, EFAULT, EIO>},
    {KVM_GET_STATS_FD, kCan<EMFILE, ENFILE, ENOMEM, EIO, ENOTTY>},
    {KVM_GET_CLOCK, kCan<EFAULT, EIO>},
    {KVM_SET_CLOCK, kCan<EINVAL, EFAULT, EIO>},
    {KVM_SET_PMU_EVENT_FILTER,
     kCan<E2BIG, EINVAL, ENOMEM, EFAULT, EIO, ENOTTY>},
    {KVM_X86_SET_MSR_FILTER, kCan<EINVAL, ENOMEM, EFAULT, EIO, ENOTTY>},
    {KVM_MEMORY_ENCRYPT_OP,
     kCan<ENOTTY, EINVAL, EPERM, EBUSY, ENOMEM, EFAULT, EIO>},
    {KVM_MEMORY_ENCRYPT_REG_REGION, kCan<ENOTTY, EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_MEMORY_ENCRYPT_UNREG_REGION, kCan<ENOTTY, EINVAL, EFAULT, EIO>},

    // VM: memory.
    {KVM_SET_USER_MEMORY_REGION, kCan<EEXIST, EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_SET_USER_MEMORY_REGION2,
     kCan<EEXIST, EINVAL, EBADF, ENOMEM, EFAULT, EIO, ENOTTY>},
    {KVM_GET_DIRTY_LOG, kCan<ENOENT, ENXIO, EINVAL, EFAULT, EIO>},
    {KVM_CLEAR_DIRTY_LOG, kCan<ENOENT, ENXIO, EINVAL, EFAULT, EIO>},
    {KVM_RESET_DIRTY_RINGS, kCan<EINTR, EINVAL, EIO, ENOTTY>},
    {KVM_SET_MEMORY_ATTRIBUTES, kCan<EINVAL, ENOMEM, EFAULT, EIO, ENOTTY>},
    {KVM_CREATE_GUEST_MEMFD,
     kCan<EINVAL, EMFILE, ENFILE, ENOMEM, EFAULT, EIO, ENOTTY>},

    // VM: interrupts and doorbells.
    {KVM_CREATE_IRQCHIP, kCan<EEXIST, EINVAL, ENOMEM, EIO>},
    {KVM_GET_IRQCHIP, kCan<ENXIO, EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_SET_IRQCHIP, kCan<ENXIO, EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_IRQ_LINE, kCan<ENXIO, EFAULT, EIO>},
    {KVM_IRQ_LINE_STATUS, kCan<ENXIO, EFAULT, EIO>},
    {KVM_CREATE_PIT2, kCan<EEXIST, ENOENT, ENOMEM, EFAULT, EIO>},
    {KVM_GET_PIT2, kCan<ENXIO, EFAULT, EIO>},
    {KVM_SET_PIT2, kCan<ENXIO, EFAULT, EIO>},
    {KVM_REINJECT_CONTROL, kCan<ENXIO, EFAULT, EIO>},
    {KVM_SET_GSI_ROUTING, kCan<EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_SIGNAL_MSI, kCan<EINVAL, EPERM, EFAULT, EIO>},
    {KVM_IRQFD, kCan<EBUSY, EINVAL, EBADF, ENOMEM, EFAULT, EIO>},
    {KVM_IOEVENTFD, kCan<EEXIST, ENOSPC, EINVAL, EBADF, ENOMEM, EFAULT, EIO>},
    {KVM_REGISTER_COALESCED_MMIO, kCan<EINVAL, ENOSPC, ENOMEM, EFAULT, EIO>},
    {KVM_UNREGISTER_COALESCED_MMIO, kCan<EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_HYPERV_EVENTFD,
     kCan<EINVAL, EEXIST, ENOENT, EBADF, ENOMEM, EFAULT, EIO>},
    {KVM_XEN_HVM_CONFIG, kCan<EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_XEN_HVM_SET_ATTR,
     kCan<ENOENT, EINVAL, EEXIST, ENOMEM, EFAULT, EIO, ENOTTY>},
    {KVM_XEN_HVM_GET_ATTR, kCan<ENOENT, EFAULT, EIO, ENOTTY>},
    {KVM_XEN_HVM_EVTCHN_SEND, kCan<EINVAL, ENOENT, EFAULT, EIO, ENOTTY>},

    // In-kernel devices, and attributes of the VM and vCPU.
    {KVM_SET_DEVICE_ATTR, kCan<ENXIO, EPERM, ENODEV, EINVAL, EFAULT, EIO>},
    {KVM_GET_DEVICE_ATTR, kCan<ENXIO, EPERM, ENODEV, EINVAL, EFAULT, EIO>},
    {KVM_HAS_DEVICE_ATTR, kCan<ENXIO, EPERM, EFAULT, EIO>},

    // vCPU: running. Parked waiting for INIT: EAGAIN.
    {KVM_RUN, kCan<EINTR, EAGAIN, EFAULT, EHWPOISON, EINVAL, ENOMEM, EIO>},
    {KVM_SET_SIGNAL_MASK, kCan<EINVAL, EFAULT, EIO>},
    {KVM_INTERRUPT, kCan<EINVAL, ENXIO, EEXIST, EFAULT, EIO>},
    {KVM_NMI, kCan<EIO>},
    {KVM_SMI, kCan<ENOTTY, EIO>},
    {KVM_TRANSLATE, kCan<EFAULT, EIO>},
    {KVM_SET_GUEST_DEBUG, kCan<EINVAL, EBUSY, EFAULT, EIO>},
    {KVM_TPR_ACCESS_REPORTING, kCan<EFAULT, EIO>},
    {KVM_SET_VAPIC_ADDR, kCan<EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_PRE_FAULT_MEMORY, kCan<EINTR, EAGAIN, EINVAL, ENOENT, EFAULT,
                                EHWPOISON, EOPNOTSUPP, EIO, ENOTTY>},

    // vCPU: state. Reading allocates where the state does not fit the stack.
    {KVM_GET_REGS, kCan<ENOMEM, EFAULT, EIO>},
    {KVM_SET_REGS, kCan<ENOMEM, EFAULT, EIO>},
    {KVM_GET_SREGS, kCan<ENOMEM, EFAULT, EIO>},
    {KVM_SET_SREGS, kCan<EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_GET_SREGS2, kCan<ENOMEM, EFAULT, EIO, ENOTTY>},
    {KVM_SET_SREGS2, kCan<EINVAL, ENOMEM, EFAULT, EIO, ENOTTY>},
    {KVM_GET_FPU, kCan<ENOMEM, EFAULT, EIO>},
    {KVM_SET_FPU, kCan<ENOMEM, EFAULT, EIO>},
    {KVM_GET_XSAVE, kCan<EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_GET_XSAVE2, kCan<ENOMEM, EFAULT, EIO, ENOTTY>},
    {KVM_SET_XSAVE, kCan<EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_GET_XCRS, kCan<ENOMEM, EINVAL, EFAULT, EIO>},
    {KVM_SET_XCRS, kCan<EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_GET_DEBUGREGS, kCan<EFAULT, EIO>},
    {KVM_SET_DEBUGREGS, kCan<EINVAL, EFAULT, EIO>},
    {KVM_GET_LAPIC, kCan<EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_SET_LAPIC, kCan<EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_GET_VCPU_EVENTS, kCan<EFAULT, EIO>},
    {KVM_SET_VCPU_EVENTS, kCan<EINVAL, EFAULT, EIO>},
    {KVM_GET_MP_STATE, kCan<EFAULT, EIO>},
    {KVM_SET_MP_STATE, kCan<EINVAL, EFAULT, EIO>},
    {KVM_GET_NESTED_STATE, kCan<EINVAL, E2BIG, EFAULT, EIO, ENOTTY>},
    {KVM_SET_NESTED_STATE, kCan<EINVAL, ENOMEM, EFAULT, EIO, ENOTTY>},
    {KVM_GET_ONE_REG, kCan<EINVAL, ENOENT, EFAULT, EIO, ENOTTY>},
    {KVM_SET_ONE_REG, kCan<EINVAL, ENOENT, EFAULT, EIO, ENOTTY>},
    {KVM_GET_REG_LIST, kCan<E2BIG, EFAULT, EIO, ENOTTY>},
    {KVM_GET_CPUID2, kCan<E2BIG, EFAULT, EIO>},
    {KVM_SET_CPUID2, kCan<E2BIG, EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_GET_MSRS, kCan<E2BIG, ENOMEM, EFAULT, EIO>},
    {KVM_SET_MSRS, kCan<E2BIG, ENOMEM, EFAULT, EIO>},
    {KVM_GET_TSC_KHZ, kCan<EIO>},
    {KVM_SET_TSC_KHZ, kCan<EINVAL, EIO>},
    {KVM_KVMCLOCK_CTRL, kCan<EINVAL, EIO>},
    {KVM_X86_SETUP_MCE, kCan<EINVAL, ENOMEM, EFAULT, EIO>},
    {KVM_X86_SET_MCE, kCan<EINVAL, EFAULT, EIO>},
    {KVM_XEN_VCPU_GET_ATTR, kCan<ENOENT, EINVAL, EFAULT, EIO, ENOTTY>},
    {KVM_XEN_VCPU_SET_ATTR,
     kCan<ENOENT, EINVAL, EOPNOTSUPP, EFAULT, EIO, ENOTTY>},
};

constexpr bool EveryRequestHasARow() {
  for (const Name& name : kNames) {
    bool found = false;
    for (const Row& row : kRows) found |= row.request == name.request;
    if (!found) return false;
  }
  return true;
}
static_assert(EveryRequestHasARow(),
              "a request of abi_rows.inc without its errnos");

}  // namespace

WrappedCall IoctlCall(unsigned long request) {
  WrappedCall call = {"ioctl", kCan<ENOTTY>};
  for (const Name& name : kNames) {
    if (name.request == request) call.name = name.name;
  }
  for (const Row& row : kRows) {
    if (row.request == request) call.errnos = row.errnos;
  }
  return call;
}

WrappedCall FcntlCall(int command) {
  switch (command) {
    case F_ADD_SEALS:
      return {"F_ADD_SEALS", kCan<EPERM, EBUSY, EINVAL>};
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      return {"fcntl", kCan<EMFILE, EBADF, EINVAL>};
    default:
      return {"fcntl", kCan<EBADF, EINVAL>};
  }
}

WrappedCall NumberedCall(long number) {
  switch (number) {
    case SYS_gettid:
    case SYS_getpid:
      return {"gettid", {}};
    case SYS_membarrier:
      return {"membarrier", kCan<ENOSYS, EPERM, EINVAL>};
    case SYS_tgkill:
      // A thread that is there gives no ESRCH.
      return {"tgkill", kCan<EAGAIN>};
    case SYS_mbind:
      return {"mbind", kCan<EINVAL, ENOMEM, EPERM, EIO>};
    case SYS_userfaultfd:
      return {"userfaultfd", kCan<EPERM, EMFILE, ENFILE, ENOMEM, ENOSYS>};
    case SYS_openat2:
      return {"openat2", kCan<EACCES, ENOENT, EXDEV, ELOOP, EAGAIN, EMFILE,
                              ENFILE, ENOMEM, E2BIG, ENOSYS>};
    case SYS_io_uring_setup:
      return {"io_uring_setup",
              kCan<EPERM, EMFILE, ENFILE, ENOMEM, EINVAL, ENOSYS>};
    case SYS_io_uring_enter:
      return {"io_uring_enter",
              kCan<EINTR, EAGAIN, EBUSY, EBADFD, ENXIO, EEXIST, EINVAL>};
    case SYS_io_uring_register:
      return {"io_uring_register",
              kCan<EBUSY, EMFILE, ENOMEM, EOPNOTSUPP, EINVAL, EEXIST>};
    default:
      return {"syscall", kCan<ENOSYS>};
  }
}

}  // namespace libvmm::testing::internal
