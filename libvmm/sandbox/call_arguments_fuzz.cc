// SPDX-License-Identifier: Apache-2.0
// Arguments of calls with values, sizes and contents of the input's choice: each
// stands where the ABI has it.
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "absl/strings/string_view.h"
#include "libvmm/sandbox/call_arguments.h"

namespace {

using libvmm::Gva;
using libvmm::sandbox::ArgumentFor;
using libvmm::sandbox::CallArguments;
using libvmm::sandbox::End;
using libvmm::sandbox::MakeOutcome;
using libvmm::sandbox::Out;
using libvmm::sandbox::RawOutcome;
using libvmm::sandbox::ResultFrom;

void Require(bool condition) {
  if (!condition) std::abort();
}

// Values out of the input, zeros behind its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_(data, size) {}

  template <typename T>
  T Take() {
    T value{};
    const size_t size = std::min(sizeof(T), left_.size());
    if (size != 0) std::memcpy(&value, left_.data(), size);
    left_ = left_.subspan(size);
    return value;
  }
  std::vector<uint8_t> TakeBytes() {
    const size_t wanted = Take<uint8_t>();  // Before the size that is left.
    const size_t size = std::min(wanted, left_.size());
    std::vector<uint8_t> bytes(left_.begin(),
                               left_.begin() + static_cast<ptrdiff_t>(size));
    left_ = left_.subspan(size);
    return bytes;
  }

 private:
  std::span<const uint8_t> left_;
};

struct Pair {
  uint32_t a;
  uint64_t b;
};

struct Expected {
  const void* data;
  size_t size;
  size_t zeros;
  bool in;
  bool out;
  uint8_t integer;
};

void RequireBlocks(const CallArguments& call,
                   std::span<const Expected> expected) {
  Require(call.blocks().size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const CallArguments::Block& block = call.blocks()[i];
    Require(block.data == expected[i].data && block.size == expected[i].size);
    Require(block.zeros == expected[i].zeros);
    Require(block.copy_in == expected[i].in &&
            block.copy_out == expected[i].out);
    Require(block.integer == expected[i].integer);
    Require(block.integer < CallArguments::kMaxIntegers);
    // To be filled in with the address.
    Require(call.integers()[block.integer] == 0);
  }
}

void CheckScalars(Input& input) {
  const auto a = input.Take<int8_t>();
  const auto b = input.Take<uint32_t>();
  const auto c = input.Take<double>();
  const auto d = input.Take<int64_t>();
  const auto e = input.Take<float>();
  const Gva f(input.Take<uint64_t>());
  const CallArguments call(a, c, b, e, d, f, nullptr);
  Require(call.integers()[0] == static_cast<uint64_t>(int64_t{a}));
  Require(call.integers()[1] == b);
  Require(call.integers()[2] == static_cast<uint64_t>(d));
  Require(call.integers()[3] == f.value());
  Require(call.integers()[4] == 0 && call.integers()[5] == 0);
  Require(call.doubles().size() == 2);
  Require(call.doubles()[0] == std::bit_cast<uint64_t>(c));
  Require(call.doubles()[1] == std::bit_cast<uint32_t>(e));
  RequireBlocks(call, {});
  // Parameters convert as C's do.
  Require(CallArguments(ArgumentFor<uint8_t>(d)).integers()[0] ==
          static_cast<uint8_t>(d));
  Require(CallArguments(ArgumentFor<int16_t>(b)).integers()[0] ==
          static_cast<uint64_t>(int64_t{static_cast<int16_t>(b)}));
}

void CheckBlocks(Input& input) {
  std::vector<uint8_t> bytes = input.TakeBytes();
  const std::vector<uint8_t> text = input.TakeBytes();
  std::vector<uint8_t> filled = input.TakeBytes();
  Pair pair = input.Take<Pair>();
  const Pair constant = input.Take<Pair>();
  const absl::string_view view(reinterpret_cast<const char*>(text.data()),
                               text.size());
  const CallArguments call(
      std::span<const uint8_t>(bytes), view, std::span<uint8_t>(filled),
      Out<uint8_t>{std::span<uint8_t>(filled)}, &pair, constant);
  const Expected expected[] = {
      {bytes.data(), bytes.size(), 0, true, false, 0},
      {text.data(), text.size(), 1, true, false, 1},
      {filled.data(), filled.size(), 0, true, true, 2},
      {filled.data(), filled.size(), 0, false, true, 3},
      {&pair, sizeof pair, 0, true, true, 4},
      {&constant, sizeof constant, 0, true, false, 5},
  };
  RequireBlocks(call, expected);
  Require(call.doubles().empty());
}

void CheckResults(Input& input) {
  const auto rax = input.Take<uint64_t>();
  Require(ResultFrom<int8_t>(rax) == static_cast<int8_t>(rax));
  Require(ResultFrom<uint64_t>(rax) == rax);
  Require(ResultFrom<bool>(rax) == ((rax & 0xff) != 0));
  Require(std::bit_cast<uint64_t>(ResultFrom<double>(rax)) == rax);
  Require(std::bit_cast<uint32_t>(ResultFrom<float>(rax)) ==
          static_cast<uint32_t>(rax));
  Require(ResultFrom<Gva>(rax).value() == rax);
  const auto end = static_cast<End>(input.Take<uint8_t>() % 7);
  const auto outcome = MakeOutcome<uint64_t>(RawOutcome{end, rax});
  Require(outcome.end() == end);
  Require(outcome.value() == (end == End::kReturned ? rax : 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  CheckScalars(input);
  CheckBlocks(input);
  CheckResults(input);
  return 0;
}
