// SPDX-License-Identifier: Apache-2.0
// The way exit -> bus -> device -> re-entry makes no allocation, takes no lock
// and makes no system call but KVM_RUN: every instruction of it is looked at.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "libvmm/base/mutex.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/serial/uart_16550a.h"
#include "libvmm/dispatch/exit_dispatcher.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/testing/instruction_trace.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm::testing {
namespace {

// What is looked at are the host's instructions, so another KVM has nothing to
// add to them.
#define LIBVMM_NEEDS_SINGLE_STEPS()                                           \
  if (StockKvmRequired()) {                                                   \
    GTEST_SKIP() << "single steps of a process through KVM_RUN do not end in" \
                    " the lab's emulation";                                   \
  }                                                                           \
  static_assert(true)

constexpr int kWarmUp = 8;
// Each is alike; a single step can cost 0.1 ms inside a virtual machine.
constexpr int kExits = 16;
constexpr uint64_t kMmioBase = 0x10000;

// A loop of accesses to two addresses in turn, so that with many devices each
// is looked up anew.
struct Guest {
  const char* name;
  std::initializer_list<uint8_t> code;
};
const Guest kGuests[] = {
    {"PIO out",
     {
         0xe6, 0x60,  // out 0x60, al
         0xe6, 0x61,  // out 0x61, al
         0xeb, 0xfa,  // jmp to the start
     }},
    {"PIO in",
     {
         0xe4, 0x60,  // in al, 0x60
         0xe4, 0x61,  // in al, 0x61
         0xeb, 0xfa,  // jmp to the start
     }},
    {"MMIO write",
     {
         0xb8, 0x00, 0x10,  // mov ax, 0x1000
         0x8e, 0xd8,        // mov ds, ax
         0xa2, 0x10, 0x00,  // mov [0x10], al
         0xa2, 0x20, 0x00,  // mov [0x20], al
         0xeb, 0xf8,        // jmp to the first store
     }},
    {"MMIO read",
     {
         0xb8, 0x00, 0x10,  // mov ax, 0x1000
         0x8e, 0xd8,        // mov ds, ax
         0xa0, 0x10, 0x00,  // mov al, [0x10]
         0xa0, 0x20, 0x00,  // mov al, [0x20]
         0xeb, 0xf8,        // jmp to the first load
     }},
    {"string out",
     {
         0xbe, 0x00, 0x20,  // mov si, 0x2000
         0xb9, 0x08, 0x00,  // mov cx, 8
         0xba, 0x60, 0x00,  // mov dx, 0x60
         0xf3, 0x6e,        // rep outsb
         0xeb, 0xf3,        // jmp to the start
     }},
    {"string in",
     {
         0xbf, 0x00, 0x20,  // mov di, 0x2000
         0xb9, 0x08, 0x00,  // mov cx, 8
         0xba, 0x60, 0x00,  // mov dx, 0x60
         0xf3, 0x6c,        // rep insb
         0xeb, 0xf3,        // jmp to the start
     }},
};

class Counter final : public IoDevice {
 public:
  IoResult Read(uint64_t, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0x5a});
    ++count_;
    return IoResult::kDone;
  }
  IoResult Write(uint64_t, std::span<const std::byte> data) override {
    count_ += static_cast<uint64_t>(data[0]);
    return IoResult::kDone;
  }

 private:
  uint64_t count_ = 0;
};

enum class Runner { kVcpu, kVcpuThread };

// Devices on both buses: one over all addresses, or many small ones.
class Machine {
 public:
  absl::Status Fill(int device_count, IoDevice* device) {
    if (device_count == 1) {
      return Add({0, 0x1000}, {kMmioBase, 0x10000}, device);
    }
    for (int i = 0; i < device_count; ++i) {
      const auto n = static_cast<uint64_t>(i);
      LIBVMM_RETURN_IF_ERROR(Add({n, 1}, {kMmioBase + n * 16, 16}, device));
    }
    return absl::OkStatus();
  }

  absl::Status AddPorts(IoRange ports, IoDevice* device) {
    LIBVMM_ASSIGN_OR_RETURN(IoRegistration registration,
                            ports_.Register(ports, *device));
    registrations_.push_back(std::move(registration));
    return absl::OkStatus();
  }

  // Runs `code` and counts what is done per exit; in the traced child.
  absl::Status Run(std::initializer_list<uint8_t> code, Runner runner) {
    LIBVMM_ASSIGN_OR_RETURN(RealModeGuest guest, RealModeGuest::Create(code));
    ExitDispatcher dispatcher(ports_, mmio_);
    if (runner == Runner::kVcpu) {
      return Loop(dispatcher, [&] { return guest.vcpu().Run(); });
    }
    LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(SIGUSR1));
    LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
    LIBVMM_ASSIGN_OR_RETURN(const Deadline deadline,
                            thread.StartDeadline({.after = absl::Hours(1),
                                                  .exits = uint64_t{1} << 40}));
    return Loop(dispatcher, [&] { return thread.Run(guest.vcpu()); });
  }

 private:
  absl::Status Add(IoRange ports, IoRange mmio, IoDevice* device) {
    if (device == nullptr) {
      counters_.push_back(std::make_unique<Counter>());
      device = counters_.back().get();
    }
    LIBVMM_RETURN_IF_ERROR(AddPorts(ports, device));
    LIBVMM_ASSIGN_OR_RETURN(IoRegistration registration,
                            mmio_.Register(mmio, *device));
    registrations_.push_back(std::move(registration));
    return absl::OkStatus();
  }

  template <typename RunOnce>
  static absl::Status Loop(ExitDispatcher& dispatcher, RunOnce run) {
    for (int i = 0; i < kWarmUp + kExits; ++i) {
      // What is bound and cached at the first exit is not the hot path.
      if (i == kWarmUp) BeginTrace();
      const absl::StatusOr<Exit> exit = run();
      if (!exit.ok()) return exit.status();
      if (dispatcher.Dispatch(*exit) != DispatchResult::kHandled) {
        return absl::InternalError("an exit that no device took");
      }
    }
    EndTrace();
    return absl::OkStatus();
  }

  std::vector<std::unique_ptr<Counter>> counters_;
  IoBus ports_{AddressSpace::kPio};
  IoBus mmio_{AddressSpace::kMmio};
  std::vector<IoRegistration> registrations_;
};

// Calls other than ioctl(KVM_RUN), by number.
std::vector<uint64_t> OtherCalls(const InstructionTrace& trace) {
  std::vector<uint64_t> others;
  for (const InstructionTrace::SystemCall& call : trace.calls) {
    if (call.number != SYS_ioctl || call.second != KVM_RUN) {
      others.push_back(call.number);
    }
  }
  return others;
}

void Print(const std::string& what, const InstructionTrace& trace) {
  std::printf(
      "%-44s %4zu KVM_RUN, %zu other calls, %llu heap calls, %llu locked of "
      "%.1f instructions an exit\n",
      what.c_str(), trace.calls.size() - OtherCalls(trace).size(),
      OtherCalls(trace).size(),
      static_cast<unsigned long long>(trace.heap_calls),
      static_cast<unsigned long long>(trace.locked_instructions),
      static_cast<double>(trace.instructions) / kExits);
}

// A trace of `code` with `device` behind every address; nullptr: a Counter.
absl::StatusOr<InstructionTrace> Trace(std::initializer_list<uint8_t> code,
                                       Runner runner, int device_count,
                                       IoDevice* device = nullptr) {
  return TraceInstructions([&]() -> absl::Status {
    Machine machine;
    LIBVMM_RETURN_IF_ERROR(machine.Fill(device_count, device));
    return machine.Run(code, runner);
  });
}

#define TRACE_OR_SKIP(trace, expression)                 \
  absl::StatusOr<InstructionTrace> trace = (expression); \
  if (absl::IsUnavailable(trace.status())) {             \
    GTEST_SKIP() << trace.status();                      \
  }                                                      \
  ASSERT_TRUE(trace.ok()) << trace.status()

TEST(HotPathTest, OnlyKvmRun) {
  LIBVMM_NEEDS_KVM();
  LIBVMM_NEEDS_SINGLE_STEPS();
  for (const Guest& guest : kGuests) {
    for (const Runner runner : {Runner::kVcpu, Runner::kVcpuThread}) {
      for (const int device_count : {1, 4096}) {
        const std::string what = absl::StrCat(
            guest.name,
            runner == Runner::kVcpu ? ", Vcpu::Run" : ", VcpuThread::Run",
            ", devices: ", device_count);
        SCOPED_TRACE(what);
        TRACE_OR_SKIP(trace, Trace(guest.code, runner, device_count));
        Print(what, *trace);
        EXPECT_EQ(trace->calls.size(), size_t{kExits});
        EXPECT_EQ(OtherCalls(*trace), std::vector<uint64_t>());
        EXPECT_EQ(trace->heap_calls, 0u);
        EXPECT_EQ(trace->locked_instructions, 0u);
      }
    }
  }
}

// The UART serves several CPUs and host threads and has a lock for that, which
// its header states; the rest of the promise holds for it.
TEST(HotPathTest, UartMakesNoCallAndNoAllocation) {
  LIBVMM_NEEDS_KVM();
  LIBVMM_NEEDS_SINGLE_STEPS();
  TRACE_OR_SKIP(trace, TraceInstructions([]() -> absl::Status {
                  uint64_t sum = 0;
                  Uart16550a uart({.interrupt = [](bool) {},
                                   .sink =
                                       [&sum](std::span<const std::byte> data) {
                                         sum += static_cast<uint64_t>(data[0]);
                                       },
                                   .receive_ready = nullptr});
                  Machine machine;
                  LIBVMM_RETURN_IF_ERROR(machine.AddPorts({0x3f8, 8}, &uart));
                  return machine.Run(
                      {
                          0xba, 0xfd, 0x03,  // mov dx, 0x3fd
                          0xec,              // in al, dx
                          0xba, 0xf8, 0x03,  // mov dx, 0x3f8
                          0xee,              // out dx, al
                          0xeb, 0xf6,        // jmp to the start
                      },
                      Runner::kVcpuThread);
                }));
  Print("UART, line status and transmit", *trace);
  EXPECT_EQ(trace->calls.size(), size_t{kExits});
  EXPECT_EQ(OtherCalls(*trace), std::vector<uint64_t>());
  EXPECT_EQ(trace->heap_calls, 0u);
}

// The checks above must be able to fail.
class Sinner : public IoDevice {
 public:
  IoResult Read(uint64_t, std::span<std::byte>) final { return Sin(); }
  IoResult Write(uint64_t, std::span<const std::byte>) final { return Sin(); }

 private:
  virtual IoResult Sin() = 0;
};

TEST(HotPathTest, ADeviceThatAllocatesIsSeen) {
  LIBVMM_NEEDS_KVM();
  LIBVMM_NEEDS_SINGLE_STEPS();
  class Allocates final : public Sinner {
    IoResult Sin() override {
      last_ = std::make_unique<uint64_t>(1);
      return IoResult::kDone;
    }
    std::unique_ptr<uint64_t> last_;
  } device;
  TRACE_OR_SKIP(trace, Trace(kGuests[0].code, Runner::kVcpu, 1, &device));
  Print("a device that allocates", *trace);
  EXPECT_EQ(trace->heap_calls, uint64_t{2 * kExits});
}

TEST(HotPathTest, ADeviceThatLocksIsSeen) {
  LIBVMM_NEEDS_KVM();
  LIBVMM_NEEDS_SINGLE_STEPS();
  class Locks final : public Sinner {
    IoResult Sin() override {
      MutexLock lock(mutex_);
      return IoResult::kDone;
    }
    Mutex mutex_;
  } device;
  TRACE_OR_SKIP(trace, Trace(kGuests[0].code, Runner::kVcpu, 1, &device));
  Print("a device that locks", *trace);
  EXPECT_EQ(trace->locked_instructions, uint64_t{2 * kExits});
}

TEST(HotPathTest, ADeviceThatCallsTheSystemIsSeen) {
  LIBVMM_NEEDS_KVM();
  LIBVMM_NEEDS_SINGLE_STEPS();
  class Calls final : public Sinner {
    IoResult Sin() override {
      ::syscall(SYS_getppid);
      return IoResult::kDone;
    }
  } device;
  TRACE_OR_SKIP(trace, Trace(kGuests[0].code, Runner::kVcpu, 1, &device));
  Print("a device that calls the system", *trace);
  EXPECT_EQ(OtherCalls(*trace), std::vector<uint64_t>(kExits, SYS_getppid));
}

}  // namespace
}  // namespace libvmm::testing
