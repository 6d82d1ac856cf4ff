// SPDX-License-Identifier: Apache-2.0
// A VirtioEntropy with a hostile driver and a source that runs dry. Beside what
// VirtioFuzzSession looks at: a request gets at least a byte and at most the
// cap; the source is never asked for nothing nor for more than a block, and
// gives what came back in all.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>

#include "absl/time/time.h"
#include "libvmm/devices/virtio/entropy/virtio_entropy.h"
#include "libvmm/testing/fuzz_bytes.h"
#include "libvmm/testing/virtio_fuzz_session.h"

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using libvmm::VirtioEntropy;
  libvmm::testing::FuzzBytes input({data, size});
  size_t available = 100000;
  uint64_t given = 0;
  uint64_t received = 0;
  libvmm::VirtioEntropy::Options options{
      .source = [&](std::span<std::byte> to) {
        FUZZ_CHECK(!to.empty() && to.size() <= 4096);
        const size_t filled = std::min(to.size(), available);
        std::fill_n(to.begin(), filled, std::byte{0x5a});
        available -= filled;
        given += filled;
        return filled;
      }};
  if (input.Byte() % 2 != 0) {
    options.limits = {.operations = {.rate = 100, .burst = 3},
                      .bytes = {.rate = 100000, .burst = 5000}};
  }
  const std::unique_ptr<VirtioEntropy> device =
      *VirtioEntropy::Create(std::move(options));
  libvmm::testing::VirtioFuzzSession session(
      *device,
      {.embed =
           [&](libvmm::testing::FuzzBytes& bytes) {
             const uint8_t what = bytes.Byte();
             if (what % 4 == 0) {
               available = 0;
             } else {
               available += 100 * what;
               device->SourceReady();
             }
           },
       .on_used =
           [&](uint16_t, uint32_t written) {
             FUZZ_CHECK(written > 0);
             FUZZ_CHECK(written <= VirtioEntropy::kMaxRequestBytes);
             received += written;
           },
       .check = [&] { FUZZ_CHECK(received <= given); }},
      input);
  session.Run();
  return 0;
}
