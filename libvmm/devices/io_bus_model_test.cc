// SPDX-License-Identifier: Apache-2.0
// IoBus against a plain list of ranges, under random registrations, removals
// and accesses, with few and many ranges laid out in ways that stress the
// lookup.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;

struct Seen {
  size_t device = 0;
  uint64_t offset = 0;
  int calls = 0;
};

class Probe final : public IoDevice {
 public:
  Probe(size_t number, Seen& seen) : number_(number), seen_(&seen) {}
  IoResult Read(uint64_t offset, std::span<std::byte>) override {
    *seen_ = {number_, offset, seen_->calls + 1};
    return IoResult::kDone;
  }
  IoResult Write(uint64_t offset, std::span<const std::byte>) override {
    *seen_ = {number_, offset, seen_->calls + 1};
    return IoResult::kStop;
  }

 private:
  const size_t number_;
  Seen* const seen_;
};

struct Layout {
  const char* name;
  AddressSpace space;
  size_t ranges;
  // A range that a guest might have; it may overlap others.
  IoRange (*draw)(std::mt19937_64& random);
};

constexpr Layout kLayouts[] = {
    {"PortsAnywhere", AddressSpace::kPio, 300,
     [](std::mt19937_64& r) {
       return IoRange{r() % 0x10000, 1 + r() % 32};
     }},
    {"PortsCrowded", AddressSpace::kPio, 1000,
     [](std::mt19937_64& r) {
       return IoRange{0x2f0 + r() % 0x500, 1};
     }},
    {"Pages", AddressSpace::kMmio, 1000,
     [](std::mt19937_64& r) {
       return IoRange{0xd000'0000 + r() % 4096 * 0x1000, 0x1000};
     }},
    {"TwoWindows", AddressSpace::kMmio, 500,
     [](std::mt19937_64& r) {
       const uint64_t window = r() % 2 == 0 ? 0xfe00'0000 : 0x80'0000'0000;
       return IoRange{window + r() % 1024 * 0x1000, 1 + r() % 0x1000};
     }},
    {"ClustersInClusters", AddressSpace::kMmio, 500,
     [](std::mt19937_64& r) {
       uint64_t base = 0;
       for (int shift = 60; shift > 0; shift -= 10) {
         base += (r() % 2) << shift;
       }
       return IoRange{base + r() % 64, 1 + r() % 4};
     }},
    {"AllMagnitudes", AddressSpace::kMmio, 100,
     [](std::mt19937_64& r) {
       return IoRange{r() >> (r() % 64), 1 + (r() >> (r() % 63 + 1))};
     }},
};

struct Line {
  uint64_t base;
  uint64_t last;
  size_t device;
  IoRegistration registration;
};

class IoBusModelTest : public ::testing::TestWithParam<Layout> {};

INSTANTIATE_TEST_SUITE_P(Layouts, IoBusModelTest, ::testing::ValuesIn(kLayouts),
                         [](const auto& layout) {
                           return std::string(layout.param.name);
                         });

TEST_P(IoBusModelTest, BehavesAsAListOfRanges) {
  constexpr size_t kDevices = 16;
  constexpr int kSteps = 2500;
  const Layout& layout = GetParam();
  const uint64_t top = layout.space == AddressSpace::kPio
                           ? 0xffff
                           : std::numeric_limits<uint64_t>::max();
  std::mt19937_64 random(7);
  Seen seen;
  std::vector<Probe> devices;
  for (size_t i = 0; i < kDevices; ++i) devices.emplace_back(i, seen);
  IoBus bus(layout.space);
  IoCursor cursor = bus.MakeCursor();
  std::vector<Line> lines;

  for (int step = 0; step < kSteps; ++step) {
    SCOPED_TRACE(step);
    if (lines.size() < layout.ranges && random() % 8 != 0) {
      const IoRange range = layout.draw(random);
      const size_t device = random() % kDevices;
      const bool valid = range.size - 1 <= top - range.base;
      const uint64_t last = range.base + (range.size - 1);
      const bool taken = std::ranges::any_of(lines, [&](const Line& line) {
        return line.base <= last && range.base <= line.last;
      });
      absl::StatusOr<IoRegistration> result =
          bus.Register(range, devices[device]);
      if (!valid) {
        ASSERT_THAT(result, StatusIs(absl::StatusCode::kInvalidArgument));
      } else if (taken) {
        ASSERT_THAT(result, StatusIs(absl::StatusCode::kAlreadyExists));
      } else {
        ASSERT_THAT(result, IsOk());
        lines.push_back({range.base, last, device, *std::move(result)});
      }
    } else if (!lines.empty()) {
      std::swap(lines[random() % lines.size()], lines.back());
      lines.pop_back();
    }

    for (int i = 0; i < 8; ++i) {
      uint64_t address = layout.draw(random).base;
      if (!lines.empty() && i != 0) {
        const Line& near = lines[random() % lines.size()];
        const uint64_t edges[] = {near.base, near.last,
                                  near.base + (near.last - near.base) / 2};
        address = edges[random() % 3] + random() % 9 - 4;
      }
      std::array<std::byte, 8> bytes{};
      const std::span data = std::span(bytes).first(1 + random() % 8);
      const auto line = std::ranges::find_if(lines, [&](const Line& l) {
        return l.base <= address && address <= l.last &&
               data.size() - 1 <= l.last - address;
      });
      const int calls = seen.calls;
      const bool write = random() % 2 == 0;
      const IoOutcome outcome =
          write ? cursor.Write(address, data) : cursor.Read(address, data);
      if (line == lines.end()) {
        ASSERT_EQ(outcome, IoOutcome::kUnclaimed) << address;
        ASSERT_EQ(seen.calls, calls);
      } else {
        ASSERT_EQ(outcome, write ? IoOutcome::kStop : IoOutcome::kDone)
            << address;
        ASSERT_EQ(seen.calls, calls + 1);
        ASSERT_EQ(seen.device, line->device);
        ASSERT_EQ(seen.offset, address - line->base);
      }
    }
  }
}

}  // namespace
}  // namespace libvmm
