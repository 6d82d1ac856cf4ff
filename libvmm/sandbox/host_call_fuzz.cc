// SPDX-License-Identifier: Apache-2.0
// Calls host functions with registers and memory of the input's choice, over a
// target that is no sandbox. A function must see what its registers say, and
// nothing when a string cannot be read.
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "libvmm/sandbox/host_call.h"
#include "libvmm/sandbox/host_functions.h"

namespace {

using libvmm::Gva;
using libvmm::sandbox::CallArguments;
using libvmm::sandbox::End;
using libvmm::sandbox::Function;
using libvmm::sandbox::GuestBuffer;
using libvmm::sandbox::HostCall;
using libvmm::sandbox::HostFunctions;
using libvmm::sandbox::RawOutcome;

void Require(bool condition) {
  if (!condition) std::abort();
}

// Memory of one range, and nested calls that end as they are told to.
class Target final : public libvmm::sandbox::internal::HostCallTarget {
 public:
  static constexpr uint64_t kStart = 0x10000;

  explicit Target(std::vector<std::byte> memory) : memory_(std::move(memory)) {}

  bool ReadUser(Gva from, std::span<std::byte> to) override {
    const std::byte* const at = Find(from, to.size());
    if (at != nullptr) std::copy_n(at, to.size(), to.begin());
    return at != nullptr;
  }
  bool WriteUser(Gva to, std::span<const std::byte> from) override {
    std::byte* const at = Find(to, from.size());
    if (at != nullptr) std::copy(from.begin(), from.end(), at);
    return at != nullptr;
  }
  bool ReadUserString(Gva from, size_t max, std::string& text) override {
    const std::optional<std::string> found = StringAt(from, max);
    if (found) text = *found;
    return found.has_value();
  }
  absl::StatusOr<RawOutcome> CallNested(Gva function, const CallArguments& call,
                                        bool returns_double) override {
    ++nested_calls;
    Require(!returns_double);
    Require(call.integers()[0] == function.value());
    Require(call.blocks().empty() && call.doubles().empty());
    return RawOutcome{nested_end, nested_result};
  }

  std::optional<std::string> StringAt(Gva from, size_t max) {
    std::string text;
    for (uint64_t i = 0; i < max; ++i) {
      const std::byte* const at = Find(from + i, 1);
      if (at == nullptr) return std::nullopt;
      if (*at == std::byte{0}) return text;
      text.push_back(static_cast<char>(*at));
    }
    return std::nullopt;
  }

  End nested_end = End::kReturned;
  uint64_t nested_result = 0;
  int nested_calls = 0;

 private:
  std::byte* Find(Gva gva, size_t size) {
    const uint64_t offset = gva.value() - kStart;
    if (gva.value() < kStart || offset > memory_.size() ||
        memory_.size() - offset < size) {
      return nullptr;
    }
    return memory_.data() + offset;
  }

  std::vector<std::byte> memory_;
};

enum class Colour : int16_t { kRed = -3, kBlue = 5 };

// What the functions saw.
struct Seen {
  int calls = 0;
  std::string first;
  std::string second;
  std::array<uint64_t, 6> words{};
};

constexpr uint64_t kLargestBuffer = 4096;

HostFunctions MakeFunctions() {
  HostFunctions::Builder builder;
  const auto define = [&](const char* name, auto function) {
    Require(builder.Define(name, std::move(function)).ok());
  };
  define("strings", [](HostCall& call, const std::string& a, std::string b) {
    Seen& seen = call.user_data<Seen>();
    ++seen.calls;
    seen.first = a;
    seen.second = std::move(b);
    return static_cast<long>(seen.first.size() + seen.second.size());
  });
  define("integers",
         [](HostCall& call, int8_t a, uint16_t b, int32_t c, bool d, Colour e,
            Gva f) -> int8_t {
           Seen& seen = call.user_data<Seen>();
           ++seen.calls;
           seen.words = {static_cast<uint64_t>(a),
                         b,
                         static_cast<uint64_t>(c),
                         d ? uint64_t{1} : uint64_t{0},
                         static_cast<uint64_t>(static_cast<int16_t>(e)),
                         f.value()};
           return a;
         });
  define("floats", [](HostCall& call, double a, float b) -> double {
    Seen& seen = call.user_data<Seen>();
    ++seen.calls;
    seen.words[0] = std::bit_cast<uint64_t>(a);
    seen.words[1] = std::bit_cast<uint32_t>(b);
    return a;
  });
  define("buffers",
         [](HostCall& call, GuestBuffer a, const std::string& text,
            GuestBuffer b) -> bool {
           Seen& seen = call.user_data<Seen>();
           ++seen.calls;
           seen.first = text;
           seen.words = {
               a.address.value(), a.size, b.address.value(), b.size, 0, 0};
           if (a.size > kLargestBuffer) return false;
           std::vector<std::byte> bytes(a.size);
           return call.Read(a.address, bytes) && call.Write(b.address, bytes);
         });
  define("nested", [](HostCall& call, Gva function) -> uint64_t {
    ++call.user_data<Seen>().calls;
    const auto outcome = call.Call(Function<uint64_t(Gva)>(function), function);
    Require(outcome.ok());
    return outcome->value_or(1);
  });
  define("nothing", [] {});
  return std::move(builder).Build();
}

// The input: which function, six registers, how a nested call ends, memory.
void Check(const HostFunctions& functions, size_t which,
           const HostFunctions::Arguments& registers, Target& target) {
  Seen seen;
  HostCall call(target, &seen);
  const HostFunctions::Entry& entry = functions.at(which);
  const std::optional<std::string> first =
      target.StringAt(Gva(registers[0]), HostFunctions::kMaxString);
  const std::optional<std::string> second =
      target.StringAt(Gva(registers[1]), HostFunctions::kMaxString);
  const std::optional<std::string> third =
      target.StringAt(Gva(registers[2]), HostFunctions::kMaxString);
  const uint64_t result = entry.thunk(call, registers);
  constexpr uint64_t kBadAddress = static_cast<uint64_t>(-EFAULT);
  if (entry.name == "strings") {
    if (!first || !second) {
      Require(seen.calls == 0 && result == kBadAddress);
    } else {
      Require(seen.calls == 1 && seen.first == *first &&
              seen.second == *second);
      Require(result == first->size() + second->size());
    }
  } else if (entry.name == "integers") {
    Require(seen.calls == 1);
    Require(seen.words[0] ==
            static_cast<uint64_t>(int64_t{static_cast<int8_t>(registers[0])}));
    Require(seen.words[1] == (registers[1] & 0xffff));
    Require(seen.words[2] ==
            static_cast<uint64_t>(int64_t{static_cast<int32_t>(registers[2])}));
    // Only the lowest byte of a bool is defined (psABI, 3.2.3).
    Require(seen.words[3] == ((registers[3] & 0xff) != 0 ? 1u : 0u));
    Require(seen.words[4] ==
            static_cast<uint64_t>(int64_t{static_cast<int16_t>(registers[4])}));
    Require(seen.words[5] == registers[5]);
    Require(result == seen.words[0]);
  } else if (entry.name == "floats") {
    Require(seen.calls == 1 && seen.words[0] == registers[0] &&
            result == registers[0]);
    Require(seen.words[1] == (registers[1] & 0xffff'ffff));
  } else if (entry.name == "buffers") {
    if (!third) {
      Require(seen.calls == 0 && result == kBadAddress);
    } else {
      Require(seen.calls == 1 && seen.first == *third && result <= 1);
      Require(seen.words[0] == registers[0] && seen.words[1] == registers[1] &&
              seen.words[2] == registers[3] && seen.words[3] == registers[4]);
    }
  } else if (entry.name == "nested") {
    Require(seen.calls == 1 && target.nested_calls == 1);
    Require(result ==
            (target.nested_end == End::kReturned ? target.nested_result : 1));
  } else {
    Require(seen.calls == 0 && result == 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const HostFunctions functions = MakeFunctions();
  HostFunctions::Arguments registers{};
  constexpr size_t kHeader = 2 + sizeof registers;
  if (size < kHeader) return 0;
  std::memcpy(registers.data(), data + 2, sizeof registers);
  // Near memory more often than not.
  for (size_t i = 0; i < registers.size(); ++i) {
    if ((data[1] >> i & 1) != 0) {
      registers[i] = Target::kStart + registers[i] % (size + 2);
    }
  }
  std::vector<std::byte> memory(size - kHeader);
  if (!memory.empty()) {
    std::memcpy(memory.data(), data + kHeader, memory.size());
  }
  Target target(std::move(memory));
  target.nested_end = static_cast<End>(data[0] >> 4 & 3);
  target.nested_result = registers[5];
  Check(functions, data[0] % functions.size(), registers, target);
  return 0;
}
