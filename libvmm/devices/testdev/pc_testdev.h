// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_TESTDEV_PC_TESTDEV_H_
#define LIBVMM_DEVICES_TESTDEV_PC_TESTDEV_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/testdev/pc_testdev_registers.h"
#include "libvmm/devices/testdev/pc_testdev_state.h"

namespace libvmm {

// A device for programs that test a virtual machine, compatible with QEMU's
// pc-testdev as kvm-unit-tests use it. It is four IoDevices, each at its place
// in pc_testdev_registers.h:
//
//   scratch()  four bytes of memory among the ports; at kScratchPort and again
//              at kByteScratchPort, kScratchSize each
//   flush()    a double word written there asks the host to drop its mapping of
//              a page; at kFlushPort
//   irqs()     a write to port n drives interrupt line n: high unless all its
//              bytes are zero; at kIrqPort, kIrqCount ports
//   memory()   64 KiB in MMIO space, at kMemoryAddress
//
// Scratch and memory take accesses of any size and alignment. Flush takes
// double words at its start only; other writes are dropped, and it reads zero.
// A wide write to the lines goes to the one at its offset; they cannot be read.
// When a write to a line ends, the line has the level that it gave or a later
// one did, also where another vCPU's write had changed the line already: a guest
// whose CPUs all lower a line and then end their interrupts gets no more of them.
// What cannot be read, or lies behind, reads all ones.
//
// Thread-safety: thread-safe. flush may run on several threads at once and may
//     call back into this object. irq runs on one thread at a time; it may call
//     back but for irqs(), Reset and Restore, which wait for it.
// Ownership: owns the callbacks. Must outlive its IoRegistrations.
// Errors: only Restore can fail. The guest cannot cause any.
// Cost: a short lock for each access. 64 KiB of heap.
class PcTestdev final {
 public:
  struct Options {
    // Line `line` (below kIrqCount; a GSI) has changed to `level`; all are low
    // at first.
    absl::AnyInvocable<void(uint8_t line, bool level)> irq = nullptr;
    // The guest asks that the host's mapping of the page at this guest-physical
    // address, below 4 GiB, go away and come back.
    absl::AnyInvocable<void(uint32_t page)> flush = nullptr;
  };

  explicit PcTestdev(Options options);
  PcTestdev(const PcTestdev&) = delete;
  PcTestdev& operator=(const PcTestdev&) = delete;

  // These live as long as this object.
  [[nodiscard]] IoDevice& scratch() { return scratch_; }
  [[nodiscard]] IoDevice& flush() { return flush_; }
  [[nodiscard]] IoDevice& irqs() { return irqs_; }
  [[nodiscard]] IoDevice& memory() { return memory_; }

  // All zero, lines low.
  void Reset();

  [[nodiscard]] PcTestdevState Save() const;

  // Continues from `state`; the irq callback runs for each line whose level
  // differs from now. On error (PcTestdevState::Validate) nothing has changed.
  [[nodiscard]] absl::Status Restore(const PcTestdevState& state);

 private:
  class Scratch final : public IoDevice {
   public:
    explicit Scratch(PcTestdev& device) : device_(device) {}
    IoResult Read(uint64_t offset, std::span<std::byte> data) override;
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

   private:
    PcTestdev& device_;
  };
  class Flush final : public IoDevice {
   public:
    explicit Flush(PcTestdev& device) : device_(device) {}
    IoResult Read(uint64_t offset, std::span<std::byte> data) override;
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

   private:
    PcTestdev& device_;
  };
  class Irqs final : public IoDevice {
   public:
    explicit Irqs(PcTestdev& device) : device_(device) {}
    IoResult Read(uint64_t offset, std::span<std::byte> data) override;
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

   private:
    PcTestdev& device_;
  };
  class Memory final : public IoDevice {
   public:
    explicit Memory(PcTestdev& device) : device_(device) {}
    IoResult Read(uint64_t offset, std::span<std::byte> data) override;
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

   private:
    PcTestdev& device_;
  };

  // Tells the lines that changed from `before` to `after`.
  void TellLines(uint32_t before, uint32_t after)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lines_mutex_);

  Options callbacks_;
  Scratch scratch_{*this};
  Flush flush_{*this};
  Irqs irqs_{*this};
  Memory memory_{*this};

  // Held by who changes lines until the irq callback knows of them.
  Mutex lines_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  mutable Mutex mutex_;
  PcTestdevState state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_TESTDEV_PC_TESTDEV_H_
