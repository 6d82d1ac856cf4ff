// SPDX-License-Identifier: Apache-2.0
// Unpacks the input as it is, and packs it and unpacks that again.
#include <lz4.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "libvmm/boot/linux/kernel_payload.h"

namespace {

using libvmm::KernelPayload;

constexpr uint64_t kMaxSize = 1 << 20;

void Require(bool condition) {
  if (!condition) std::abort();
}

void AppendWord(std::vector<std::byte>& to, size_t value) {
  const auto word = static_cast<uint32_t>(value);
  const auto bytes = std::as_bytes(std::span(&word, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

// The input cut into blocks of `block_size` bytes, in an LZ4 legacy frame with
// the size behind.
std::vector<std::byte> Pack(std::span<const std::byte> bytes,
                            size_t block_size) {
  std::vector<std::byte> payload;
  AppendWord(payload, 0x184c2102);
  for (size_t at = 0; at < bytes.size(); at += block_size) {
    const auto part =
        bytes.subspan(at, std::min(block_size, bytes.size() - at));
    std::vector<std::byte> block(
        LZ4_compressBound(static_cast<int>(part.size())));
    block.resize(LZ4_compress_default(
        reinterpret_cast<const char*>(part.data()),
        reinterpret_cast<char*>(block.data()), static_cast<int>(part.size()),
        static_cast<int>(block.size())));
    AppendWord(payload, block.size());
    payload.insert(payload.end(), block.begin(), block.end());
  }
  AppendWord(payload, bytes.size());
  return payload;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  const auto hostile = KernelPayload::Unpack(input, kMaxSize);
  if (hostile.ok()) {
    Require(hostile->bytes().size() <= kMaxSize);
    // Every byte can be read.
    std::vector<std::byte> copy(hostile->bytes().begin(),
                                hostile->bytes().end());
    Require(!copy.empty());
  } else {
    Require(!hostile.status().message().empty());
  }
  if (input.empty()) return 0;
  const auto packed = Pack(input, 1 + data[0]);
  const auto same = KernelPayload::Unpack(packed, size);
  Require(same.ok());
  Require(same->bytes().size() == size &&
          std::memcmp(same->bytes().data(), data, size) == 0);
  Require(!KernelPayload::Unpack(packed, size - 1).ok());
  return 0;
}
