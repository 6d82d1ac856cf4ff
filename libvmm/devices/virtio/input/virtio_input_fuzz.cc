// SPDX-License-Identifier: Apache-2.0
// A VirtioInput with a hostile driver. Beside what VirtioFuzzSession looks at:
// the guest gets whole events, and no more of them than were taken; a frame is
// refused only when it does not fit; what the configuration shows has the size
// that it says.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "libvmm/devices/virtio/input/input_codes.h"
#include "libvmm/devices/virtio/input/input_profile.h"
#include "libvmm/devices/virtio/input/input_registers.h"
#include "libvmm/devices/virtio/input/virtio_input.h"
#include "libvmm/testing/fuzz_bytes.h"
#include "libvmm/testing/virtio_fuzz_session.h"

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

namespace libvmm {
namespace {

using virtio::input::kConfigSize;
using virtio::input::kEventQueue;
using Event = VirtioInput::Event;

constexpr size_t kCapacity = 20;

void Fuzz(testing::FuzzBytes& input) {
  uint64_t taken = 0;
  uint64_t received = 0;
  uint64_t rooms = 0;
  uint64_t refused = 0;
  const auto device = *VirtioInput::Create(
      {.profile = input.Byte() % 2 != 0 ? InputProfile::Tablet()
                                        : InputProfile::Keyboard(),
       .capacity = kCapacity,
       .room = [&] { ++rooms; }});
  testing::VirtioFuzzSession session(
      *device,
      {.compose =
           [](uint16_t, testing::FuzzBytes& bytes) {
             const auto some = bytes.Take(bytes.Byte() % 20);
             const auto as_bytes = std::as_bytes(some);
             return std::vector<std::byte>(as_bytes.begin(), as_bytes.end());
           },
       .embed =
           [&](testing::FuzzBytes& bytes) {
             const uint8_t shape = bytes.Byte();
             std::vector<Event> frame(shape % 24);
             for (Event& event : frame) {
               event = {
                   .type = input_code::kKey,
                   .code = static_cast<uint16_t>(
                       shape < 200 ? 0x110 + bytes.Byte() % 5 : bytes.Word()),
                   .value = bytes.Byte()};
             }
             switch (device->Send(frame)) {
               case VirtioInput::SendResult::kTaken:
                 FUZZ_CHECK(frame.size() < kCapacity);
                 taken += frame.size() + 1;
                 break;
               case VirtioInput::SendResult::kFull:
                 ++refused;
                 break;
               case VirtioInput::SendResult::kNoDriver:
                 FUZZ_CHECK(false);
                 break;
               case VirtioInput::SendResult::kInvalid:
                 break;
             }
           },
       .on_used =
           [&](uint16_t queue, uint32_t written) {
             FUZZ_CHECK(written == (queue == kEventQueue ? sizeof(Event) : 0));
             if (queue == kEventQueue) ++received;
           },
       .check =
           [&] {
             FUZZ_CHECK(received <= taken);
             FUZZ_CHECK(rooms <= refused);
             std::array<uint8_t, kConfigSize> config;
             device->ReadConfig(0, std::as_writable_bytes(std::span(config)));
             FUZZ_CHECK(config[2] <= 128);
             for (size_t i = 8 + config[2]; i < config.size(); ++i) {
               FUZZ_CHECK(config[i] == 0);
             }
           }},
      input);
  session.Run();
}

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  libvmm::testing::FuzzBytes input({data, size});
  libvmm::Fuzz(input);
  return 0;
}
