// SPDX-License-Identifier: Apache-2.0
// Sequences of registrations, removals and accesses on an IoBus, checked step
// by step against a list of ranges. Input: one byte for the space, then
// actions.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_device.h"

namespace libvmm {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }

  // The next bytes as a little-endian number, zero behind the end.
  uint64_t Take(size_t size) {
    uint64_t value = 0;
    const size_t count = std::min(size, bytes_.size());
    if (count > 0) std::memcpy(&value, bytes_.data(), count);
    bytes_ = bytes_.subspan(count);
    return value;
  }

 private:
  std::span<const uint8_t> bytes_;
};

// The last access that any device got.
struct Seen {
  int device = -1;
  uint64_t offset = 0;
  size_t size = 0;
  bool write = false;
  int calls = 0;
};

class Probe final : public IoDevice {
 public:
  Probe(int number, Seen& seen) : number_(number), seen_(seen) {}
  IoResult Read(uint64_t offset, std::span<std::byte> data) override {
    std::ranges::fill(data, static_cast<std::byte>(number_));
    seen_ = {number_, offset, data.size(), false, seen_.calls + 1};
    return static_cast<IoResult>(number_ % 3);
  }
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override {
    seen_ = {number_, offset, data.size(), true, seen_.calls + 1};
    return static_cast<IoResult>(number_ % 3);
  }

 private:
  const int number_;
  Seen& seen_;
};

// A registered range as a naive list keeps it.
struct Line {
  uint64_t base;
  uint64_t last;
  int device;
  IoRegistration registration;
};

constexpr int kDevices = 8;
constexpr size_t kMostRanges = 200;

class Session {
 public:
  explicit Session(AddressSpace space)
      : space_(space),
        bus_(space),
        cursors_{bus_.MakeCursor(), bus_.MakeCursor()} {
    for (int i = 0; i < kDevices; ++i) devices_.emplace_back(i, seen_);
  }

  void Step(Input& input) {
    switch (const uint64_t action = input.Take(1); action % 8) {
      case 0:
      case 1:
        return Register(input);
      case 2:
        return Remove(input);
      case 3:
        return ToggleDefault();
      case 4:
        cursors_[action / 8 % 2] = bus_.MakeCursor();
        return;
      default:
        return Access(action, input);
    }
  }

 private:
  // An address: anywhere, or near a range that is registered.
  uint64_t TakeAddress(Input& input) {
    const uint64_t kind = input.Take(1);
    if (kind % 4 == 0 || lines_.empty()) {
      return input.Take(space_ == AddressSpace::kPio ? 3 : 8);
    }
    const Line& line = lines_[kind / 4 % lines_.size()];
    const uint64_t edge = kind % 2 == 0 ? line.base : line.last;
    return edge + static_cast<uint64_t>(
                      static_cast<int64_t>(static_cast<int8_t>(input.Take(1))));
  }

  void Register(Input& input) {
    const int device = static_cast<int>(input.Take(1) % kDevices);
    const uint64_t base = TakeAddress(input);
    const uint64_t kind = input.Take(1);
    const uint64_t size = kind % 8 == 0 ? input.Take(8) : kind / 4;
    const uint64_t top = space_ == AddressSpace::kPio ? 0xffff : ~uint64_t{0};
    const bool valid = size != 0 && base <= top && size - 1 <= top - base;
    const bool taken = valid && std::ranges::any_of(lines_, [&](const Line& l) {
                         return l.base <= base + (size - 1) && base <= l.last;
                       });
    if (valid && !taken && lines_.size() == kMostRanges) return;
    absl::StatusOr<IoRegistration> result =
        bus_.Register({.base = base, .size = size}, devices_[device]);
    FUZZ_CHECK(result.status().code() ==
               (!valid  ? absl::StatusCode::kInvalidArgument
                : taken ? absl::StatusCode::kAlreadyExists
                        : absl::StatusCode::kOk));
    if (result.ok()) {
      lines_.push_back({base, base + (size - 1), device, *std::move(result)});
    }
  }

  void Remove(Input& input) {
    if (lines_.empty()) return;
    const size_t index = input.Take(1) % lines_.size();
    std::swap(lines_[index], lines_.back());
    lines_.pop_back();
  }

  void ToggleDefault() {
    if (default_.has_value()) {
      FUZZ_CHECK(bus_.RegisterDefault(devices_[0]).status().code() ==
                 absl::StatusCode::kAlreadyExists);
      default_.reset();
    } else {
      absl::StatusOr<IoRegistration> result = bus_.RegisterDefault(devices_[0]);
      FUZZ_CHECK(result.ok());
      default_ = *std::move(result);
    }
  }

  void Access(uint64_t action, Input& input) {
    IoCursor& cursor = cursors_[action / 8 % 2];
    const bool write = action / 16 % 2 == 1;
    const uint64_t address = TakeAddress(input);
    std::byte bytes[16];
    std::ranges::fill(bytes, std::byte{0xee});
    const std::span<std::byte> data =
        std::span(bytes).first(input.Take(1) % (sizeof(bytes) + 1));

    Seen expected = seen_;
    const auto line = std::ranges::find_if(lines_, [&](const Line& l) {
      return !data.empty() && l.base <= address && address <= l.last &&
             data.size() - 1 <= l.last - address;
    });
    if (line != lines_.end()) {
      expected = {line->device, address - line->base, data.size(), write,
                  seen_.calls + 1};
    } else if (default_.has_value() && !data.empty()) {
      expected = {0, address, data.size(), write, seen_.calls + 1};
    }
    const bool claimed = expected.calls != seen_.calls;
    const IoOutcome outcome =
        write ? cursor.Write(address, data) : cursor.Read(address, data);
    FUZZ_CHECK(seen_.calls == expected.calls);
    FUZZ_CHECK(seen_.device == expected.device);
    FUZZ_CHECK(seen_.offset == expected.offset);
    FUZZ_CHECK(seen_.size == expected.size);
    FUZZ_CHECK(seen_.write == expected.write);
    FUZZ_CHECK(outcome == (claimed ? static_cast<IoOutcome>(expected.device % 3)
                                   : IoOutcome::kUnclaimed));
    const auto value = claimed && !write ? static_cast<std::byte>(seen_.device)
                                         : std::byte{0xee};
    FUZZ_CHECK(std::ranges::count(data, value) ==
               static_cast<ptrdiff_t>(data.size()));
  }

  const AddressSpace space_;
  Seen seen_;
  std::vector<Probe> devices_;
  IoBus bus_;
  IoCursor cursors_[2];
  std::vector<Line> lines_;
  std::optional<IoRegistration> default_;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  libvmm::Input input({data, size});
  libvmm::Session session(input.Take(1) % 2 == 0 ? libvmm::AddressSpace::kPio
                                                 : libvmm::AddressSpace::kMmio);
  while (!input.empty()) session.Step(input);
  return 0;
}
