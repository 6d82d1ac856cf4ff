// SPDX-License-Identifier: Apache-2.0
// hot_paths COUNT [NAME]
//
// Goes COUNT times through the hot path NAME, or through each, and prints its
// name first: instruction_budget_test counts the instructions. Needs no
// /dev/kvm.
#include <signal.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "libvmm/base/check.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/pop_result.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/dispatch/exit_dispatcher.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/memory/dirty_bitmap.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/kvm_stub.h"
#include "libvmm/testing/ring_feeder.h"

namespace libvmm::testing {
namespace {

// The value counts as used, and what it was made from as changed.
template <typename T>
void Use(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

// ---- Guest memory -----------------------------------------------------------

constexpr uint64_t kRegionSize = 64 << 10;

std::unique_ptr<GuestMemory> Memory(int region_count) {
  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
  for (int i = 0; i < region_count; ++i) {
    absl::StatusOr<MemoryRegion> region =
        MemoryRegion::Anonymous({.size = kRegionSize});
    LIBVMM_CHECK(region.ok());
    // With holes between, so that they stay regions of their own.
    const Gpa gpa(static_cast<uint64_t>(i) * 2 * kRegionSize);
    LIBVMM_CHECK(memory->Add(gpa, *std::move(region)).ok());
  }
  return memory;
}

void Load(int region_count, uint64_t count) {
  const std::unique_ptr<GuestMemory> memory = Memory(region_count);
  for (uint64_t i = 0; i < count; ++i) {
    const Gpa gpa((i % static_cast<uint64_t>(region_count)) * 2 * kRegionSize +
                  0x40);
    Use(memory->Load<uint32_t>(gpa));
  }
}

void Load1(uint64_t count) { Load(1, count); }
void Load64(uint64_t count) { Load(64, count); }

void Store(uint64_t count) {
  const std::unique_ptr<GuestMemory> memory = Memory(1);
  for (uint64_t i = 0; i < count; ++i) {
    Use(memory->Store(Gpa(0x40), static_cast<uint32_t>(i)));
  }
}

void Read64Bytes(uint64_t count) {
  const std::unique_ptr<GuestMemory> memory = Memory(1);
  std::array<std::byte, 64> buffer;
  for (uint64_t i = 0; i < count; ++i) {
    Use(memory->Read(Gpa(0x40), buffer));
    Use(buffer);
  }
}

void MarkDirty(uint64_t count) {
  DirtyBitmap bitmap({.size = 64 << 20});
  for (uint64_t i = 0; i < count; ++i) bitmap.MarkBytes(0x5000, 64);
}

void MarkDirty2MiB(uint64_t count) {
  DirtyBitmap bitmap({.size = 64 << 20});
  for (uint64_t i = 0; i < count; ++i) bitmap.MarkBytes(2 << 20, 2 << 20);
}

// ---- The bus ----------------------------------------------------------------

class Register final : public IoDevice {
 public:
  IoResult Read(uint64_t, std::span<std::byte> data) override {
    std::memset(data.data(), 0x5a, data.size());
    return IoResult::kDone;
  }
  IoResult Write(uint64_t, std::span<const std::byte>) override {
    return IoResult::kDone;
  }
};

constexpr uint64_t kMmioBase = 0xd0000000;
constexpr uint64_t kDeviceSize = 0x1000;

struct Bus {
  explicit Bus(AddressSpace space, int device_count) : bus(space) {
    for (int i = 0; i < device_count; ++i) {
      const auto n = static_cast<uint64_t>(i);
      absl::StatusOr<IoRegistration> registration =
          space == AddressSpace::kPio
              ? bus.Register({n * 8, 8}, device)
              : bus.Register({kMmioBase + n * kDeviceSize, kDeviceSize},
                             device);
      LIBVMM_CHECK(registration.ok());
      registrations.push_back(*std::move(registration));
    }
  }

  Register device;
  IoBus bus;
  std::vector<IoRegistration> registrations;
};

void CursorSameDevice(uint64_t count) {
  Bus mmio(AddressSpace::kMmio, 16);
  IoCursor cursor = mmio.bus.MakeCursor();
  std::array<std::byte, 4> data;
  for (uint64_t i = 0; i < count; ++i) {
    Use(cursor.Read(kMmioBase + 0x10, data));
    Use(data);
  }
}

void CursorRandomDevice(uint64_t count) {
  Bus mmio(AddressSpace::kMmio, 4096);
  IoCursor cursor = mmio.bus.MakeCursor();
  std::mt19937_64 random(1);
  std::vector<uint64_t> addresses(1024);
  for (uint64_t& address : addresses) {
    address = kMmioBase + (random() % 4096) * kDeviceSize;
  }
  std::array<std::byte, 4> data;
  for (uint64_t i = 0; i < count; ++i) {
    Use(cursor.Read(addresses[i % addresses.size()], data));
    Use(data);
  }
}

// ---- Exits ------------------------------------------------------------------

void WriteToPort(kvm_run& page) {
  page.exit_reason = KVM_EXIT_IO;
  page.io.direction = KVM_EXIT_IO_OUT;
  page.io.size = 1;
  page.io.port = 0x60;
  page.io.count = 1;
  page.io.data_offset = 4096;
}

void ReadMmio(kvm_run& page) {
  page.exit_reason = KVM_EXIT_MMIO;
  page.mmio.phys_addr = kMmioBase + 0x10;
  page.mmio.len = 4;
  page.mmio.is_write = 0;
}

template <typename T>
T Take(absl::StatusOr<T> value) {
  LIBVMM_CHECK(value.ok());
  return *std::move(value);
}

// A vCPU whose KVM_RUN is a stub, with 16 devices on each bus.
struct Machine {
  explicit Machine(void (*run)(kvm_run& page)) {
    LIBVMM_CHECK(StubKvmRun(vcpu, run).ok());
  }

  Kvm kvm = Take(OpenKvmStub());
  Vm vm = Take(Vm::Create(kvm));
  Vcpu vcpu = Take(Vcpu::Create(vm, 0));
  Bus ports{AddressSpace::kPio, 16};
  Bus mmio{AddressSpace::kMmio, 16};
  ExitDispatcher dispatcher{ports.bus, mmio.bus};
};

void Dispatch(void (*run)(kvm_run& page), uint64_t count) {
  Machine machine(run);
  const Exit exit = Take(machine.vcpu.Run());
  for (uint64_t i = 0; i < count; ++i) Use(machine.dispatcher.Dispatch(exit));
}

void DispatchPort(uint64_t count) { Dispatch(&WriteToPort, count); }
void DispatchMmio(uint64_t count) { Dispatch(&ReadMmio, count); }

void VcpuRun(uint64_t count) {
  Machine machine(&WriteToPort);
  for (uint64_t i = 0; i < count; ++i) Use(machine.vcpu.Run());
}

VcpuThread Thread() {
  LIBVMM_CHECK(VcpuThread::InstallKickHandler(SIGUSR1).ok());
  return Take(VcpuThread::Attach(SIGUSR1));
}

void VcpuThreadRun(uint64_t count) {
  Machine machine(&WriteToPort);
  VcpuThread thread = Thread();
  for (uint64_t i = 0; i < count; ++i) Use(thread.Run(machine.vcpu));
}

void Whole(void (*run)(kvm_run& page), uint64_t count) {
  Machine machine(run);
  VcpuThread thread = Thread();
  for (uint64_t i = 0; i < count; ++i) {
    const absl::StatusOr<Exit> exit = thread.Run(machine.vcpu);
    LIBVMM_CHECK(exit.ok());
    Use(machine.dispatcher.Dispatch(*exit));
  }
}

void WholePort(uint64_t count) { Whole(&WriteToPort, count); }
void WholeMmio(uint64_t count) { Whole(&ReadMmio, count); }

// ---- Virtqueues -------------------------------------------------------------

// Requests of one buffer: made available by one store, popped, pushed,
// published, each `batch` of them together.
void Requests(bool packed, uint64_t batch, uint64_t count) {
  const std::unique_ptr<GuestMemory> memory = Memory(1);
  RingFeeder feeder(
      *memory, Gpa(0x1000), Gpa(0x8000),
      {.size = 128, .packed = packed, .indirect = false, .event_index = true});
  std::optional<Virtqueue> queue = Virtqueue::Create(*memory, feeder.config());
  LIBVMM_CHECK(queue.has_value());
  DescriptorChain chain;
  for (uint64_t done = 0; done < count; done += batch) {
    for (uint64_t i = 0; i < batch; ++i) feeder.Next();
    for (uint64_t i = 0; i < batch; ++i) {
      LIBVMM_CHECK(queue->Pop(chain) == PopResult::kChain);
      queue->Push(chain.token(), RingFeeder::kBufferSize);
    }
    Use(queue->Publish());
  }
}

void SplitRequest(uint64_t count) { Requests(false, 1, count); }
void SplitBatch(uint64_t count) { Requests(false, 100, count); }
void PackedRequest(uint64_t count) { Requests(true, 1, count); }
void PackedBatch(uint64_t count) { Requests(true, 100, count); }

struct Path {
  const char* name;
  void (*run)(uint64_t count);
};
constexpr Path kPaths[] = {
    {"GuestMemory::Load<u32>,1-region", &Load1},
    {"GuestMemory::Load<u32>,64-regions", &Load64},
    {"GuestMemory::Store<u32>", &Store},
    {"GuestMemory::Read,64-bytes", &Read64Bytes},
    {"DirtyBitmap::MarkBytes,64-bytes", &MarkDirty},
    {"DirtyBitmap::MarkBytes,2-MiB", &MarkDirty2MiB},
    {"IoCursor::Read,same-device", &CursorSameDevice},
    {"IoCursor::Read,random-of-4096", &CursorRandomDevice},
    {"ExitDispatcher::Dispatch,port-write", &DispatchPort},
    {"ExitDispatcher::Dispatch,mmio-read", &DispatchMmio},
    {"Vcpu::Run,stub", &VcpuRun},
    {"VcpuThread::Run,stub", &VcpuThreadRun},
    {"run-dispatch-device,port-write", &WholePort},
    {"run-dispatch-device,mmio-read", &WholeMmio},
    {"Virtqueue,split,one-request", &SplitRequest},
    {"Virtqueue,split,of-a-batch-of-100", &SplitBatch},
    {"Virtqueue,packed,one-request", &PackedRequest},
    {"Virtqueue,packed,of-a-batch-of-100", &PackedBatch},
};

}  // namespace
}  // namespace libvmm::testing

// What callgrind is told to count, by this name.
extern "C" [[gnu::noinline]] void GoThroughHotPath(
    const libvmm::testing::Path& path, uint64_t count) {
  path.run(count);
  // No jump into `run`: callgrind must see this function return.
  asm volatile("");
}

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    std::fprintf(stderr, "usage: hot_paths COUNT [NAME]\n");
    return 2;
  }
  const uint64_t count = std::strtoull(argv[1], nullptr, 10);
  for (const libvmm::testing::Path& path : libvmm::testing::kPaths) {
    if (argc == 3 && std::strcmp(argv[2], path.name) != 0) continue;
    std::puts(path.name);
    GoThroughHotPath(path, count);
  }
  return 0;
}
