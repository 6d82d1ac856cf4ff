// SPDX-License-Identifier: Apache-2.0
// What it costs to carry an access to a device, with no VM: IoCursor on an
// IoBus with 1 to 4096 devices of one class, always the same address or random
// ones. The twin of each row is the virtual call alone, on the same devices in
// the same order: the difference is the bus.
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "bench/twin.h"
#include "libvmm/base/check.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_device.h"

namespace libvmm::bench {
namespace {

// A register: what is written is read back.
class Latch final : public IoDevice {
 public:
  IoResult Read(uint64_t, std::span<std::byte> data) override {
    if (data.size() != sizeof(value_)) return IoResult::kStop;
    std::memcpy(data.data(), &value_, sizeof(value_));
    return IoResult::kDone;
  }
  IoResult Write(uint64_t, std::span<const std::byte> data) override {
    if (data.size() != sizeof(value_)) return IoResult::kStop;
    std::memcpy(&value_, data.data(), sizeof(value_));
    return IoResult::kDone;
  }

 private:
  uint32_t value_ = 0;
};

// Where the devices stand.
struct Layout {
  absl::string_view name;
  AddressSpace space;
  // The base of each of `count` ranges.
  uint64_t (*base)(size_t index, size_t count);
  uint64_t size;
};

uint64_t PortBase(size_t index, size_t) { return index * 16; }

uint64_t WindowBase(size_t index, size_t) {
  return 0xd000'0000 + index * 0x1000;
}

// One half below 4 GiB, the other far above, as a PC with a 64-bit PCI window.
uint64_t SplitBase(size_t index, size_t count) {
  return index < count / 2 ? WindowBase(index, count)
                           : 0x80'0000'0000 + index * 0x4000;
}

constexpr Layout kLayouts[] = {
    {"pio", AddressSpace::kPio, PortBase, 16},
    {"mmio", AddressSpace::kMmio, WindowBase, 0x1000},
    {"mmio_split", AddressSpace::kMmio, SplitBase, 0x1000},
};

// A power of two, so that the sequence wraps by a mask.
constexpr size_t kAccesses = 1 << 14;
constexpr TwinBench::Options kOptions{.batch = 1 << 16, .batches = 31};

struct Access {
  uint64_t address;
  IoDevice* device;
};

void Measure(TwinBench& bench, const Layout& layout, size_t count) {
  IoBus bus(layout.space);
  std::vector<std::unique_ptr<Latch>> devices;
  std::vector<IoRegistration> registrations;
  for (size_t i = 0; i < count; ++i) {
    devices.push_back(std::make_unique<Latch>());
    auto registration = bus.Register(
        {.base = layout.base(i, count), .size = layout.size}, *devices.back());
    LIBVMM_CHECK(registration.ok());
    registrations.push_back(*std::move(registration));
  }
  IoCursor cursor = bus.MakeCursor();
  std::mt19937_64 random(1);

  for (const bool same : {true, false}) {
    if (!same && count == 1) continue;
    std::vector<Access> accesses(kAccesses);
    for (Access& access : accesses) {
      const size_t index = same ? count / 2 : random() % count;
      access = {layout.base(index, count) + 4, devices[index].get()};
    }
    const std::string prefix = absl::StrCat("bus/", layout.name, "/", count,
                                            same ? "/same" : "/random");
    std::array<std::byte, 4> data{};
    size_t ours = 0;
    size_t raw = 0;
    bench.Run(
        absl::StrCat(prefix, "/write"), kOptions,
        [&] {
          const Access& access = accesses[ours++ % kAccesses];
          LIBVMM_CHECK(cursor.Write(access.address, data) == IoOutcome::kDone);
        },
        [&] {
          const Access& access = accesses[raw++ % kAccesses];
          LIBVMM_CHECK(access.device->Write(4, data) == IoResult::kDone);
        });
    bench.Run(
        absl::StrCat(prefix, "/read"), kOptions,
        [&] {
          const Access& access = accesses[ours++ % kAccesses];
          LIBVMM_CHECK(cursor.Read(access.address, data) == IoOutcome::kDone);
        },
        [&] {
          const Access& access = accesses[raw++ % kAccesses];
          LIBVMM_CHECK(access.device->Read(4, data) == IoResult::kDone);
        });
  }
}

// Registering and removing one device among others: what hot-plug costs.
void MeasureRegistration(TwinBench& bench, size_t count) {
  const std::string name = absl::StrCat("bus/register_and_remove/", count);
  if (!bench.Wants(name)) return;
  IoBus bus(AddressSpace::kMmio);
  Latch device;
  std::vector<IoRegistration> registrations;
  for (size_t i = 0; i < count; ++i) {
    auto registration =
        bus.Register({.base = WindowBase(i, count), .size = 0x1000}, device);
    LIBVMM_CHECK(registration.ok());
    registrations.push_back(*std::move(registration));
  }
  const IoCursor cursor = bus.MakeCursor();
  bench.RunAlone(name, {.batch = 10, .batches = 21}, [&] {
    LIBVMM_CHECK(bus.Register({.base = 0x1000, .size = 0x1000}, device).ok());
  });
}

// Populating a bus: all registrations, one after another.
void MeasurePopulation(TwinBench& bench, const Layout& layout, size_t count) {
  const std::string name =
      absl::StrCat("bus/", layout.name, "/populate/", count);
  if (!bench.Wants(name)) return;
  Latch device;
  bench.RunAlone(name, {.batch = 1, .batches = 5}, [&] {
    IoBus bus(layout.space);
    const IoCursor cursor = bus.MakeCursor();
    std::vector<IoRegistration> registrations;
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < count; ++i) {
      auto registration = bus.Register(
          {.base = layout.base(i, count), .size = layout.size}, device);
      LIBVMM_CHECK(registration.ok());
      registrations.push_back(*std::move(registration));
    }
    const std::chrono::duration<double, std::nano> time =
        std::chrono::steady_clock::now() - start;
    return time.count();
  });
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  libvmm::bench::TwinBench bench(argc, argv);
  for (const auto& layout : libvmm::bench::kLayouts) {
    for (const size_t count : {1, 16, 256, 4096}) {
      libvmm::bench::Measure(bench, layout, count);
    }
  }
  for (const size_t count : {1, 16, 256, 4096}) {
    libvmm::bench::MeasureRegistration(bench, count);
  }
  for (const auto& layout : libvmm::bench::kLayouts) {
    libvmm::bench::MeasurePopulation(bench, layout, 4096);
  }
  return bench.Finish();
}
