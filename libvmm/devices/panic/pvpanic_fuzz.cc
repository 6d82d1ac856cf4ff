// SPDX-License-Identifier: Apache-2.0
// Accesses of any offset and size to a Pvpanic: exactly the events that it
// knows are reported, once, and the fatal ones stop. Input: the events it
// knows, then triples of offset and direction, size, value.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "libvmm/devices/io_device.h"
#include "libvmm/devices/panic/pvpanic.h"
#include "libvmm/devices/panic/pvpanic_registers.h"

namespace libvmm {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

void Step(Pvpanic& device, uint8_t known, int& reported, uint8_t offset,
          uint8_t size, uint8_t value) {
  std::array<std::byte, 8> data;
  data.fill(std::byte{value});
  const std::span bytes = std::span(data).first(size % 9);
  const bool write = offset >= 0x80;
  offset %= 3;
  reported = -1;
  if (!write) {
    FUZZ_CHECK(device.Read(offset, bytes) == IoResult::kDone);
    for (size_t i = 0; i < bytes.size(); ++i) {
      FUZZ_CHECK(bytes[i] ==
                 std::byte{offset + i == 0 ? known : uint8_t{0xff}});
    }
    FUZZ_CHECK(reported == -1);
    return;
  }
  const int events = offset == 0 && !bytes.empty() ? value & known : 0;
  const IoResult result = device.Write(offset, bytes);
  FUZZ_CHECK(reported == (events == 0 ? -1 : events));
  FUZZ_CHECK((result == IoResult::kStop) == ((events & 5) != 0));
}

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t known = data[0] & libvmm::pvpanic::kEvents;
  int reported = -1;
  libvmm::Pvpanic device({
      .report =
          [&](uint8_t events) {
            if (reported != -1) std::abort();
            reported = events;
          },
      .events = data[0],
  });
  for (size_t i = 1; i + 2 < size; i += 3) {
    libvmm::Step(device, known, reported, data[i], data[i + 1], data[i + 2]);
  }
  return 0;
}
