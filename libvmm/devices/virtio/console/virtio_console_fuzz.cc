// SPDX-License-Identifier: Apache-2.0
// A VirtioConsole of one or three ports with a hostile driver, and sinks that
// stop and go on. Beside what VirtioFuzzSession looks at: the guest gets no more
// input than was sent, and a stalled sink is not called; control messages have a
// header and at most a name.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "libvmm/devices/virtio/console/console_control.h"
#include "libvmm/devices/virtio/console/console_registers.h"
#include "libvmm/devices/virtio/console/virtio_console.h"
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

using namespace virtio::console;  // NOLINT: the specification's names.

constexpr size_t kPorts = 3;
constexpr size_t kCapacity = 300;

struct Terminal {
  size_t takes = 1000;
  bool stalled = false;
  uint64_t sent = 0;
  uint64_t received = 0;
};

class Session {
 public:
  explicit Session(testing::FuzzBytes& input) {
    const bool several = input.Byte() % 4 != 0;
    VirtioConsole::Options options;
    options.ports.resize(several ? kPorts : 1);
    for (size_t i = 0; i < options.ports.size(); ++i) {
      VirtioConsole::Port& port = options.ports[i];
      port.console = i == 0;
      if (i == 0) port.size = ConsoleSize{80, 25};
      if (i == 1) port.name = "agent";
      port.input_capacity = kCapacity;
      port.sink = [this, i](std::span<const std::byte> bytes) {
        return Sink(terminals_[i], bytes);
      };
    }
    options.emergency_write = [](std::byte) {};
    device_ = *VirtioConsole::Create(std::move(options));
    testing::VirtioFuzzSession session(
        *device_,
        {.features = device_->traits().features,
         .compose =
             [](uint16_t queue, testing::FuzzBytes& bytes) {
               return Compose(queue, bytes);
             },
         .embed = [this](testing::FuzzBytes& bytes) { Embed(bytes); },
         .on_used = [this](uint16_t queue,
                           uint32_t written) { OnUsed(queue, written); },
         .on_reset = [this] { OnReset(); },
         .check = [this] { Check(); }},
        input);
    session.Run();
  }

 private:
  static size_t Sink(Terminal& terminal, std::span<const std::byte> bytes) {
    FUZZ_CHECK(!terminal.stalled);
    FUZZ_CHECK(!bytes.empty() && bytes.size() <= 4096);
    const size_t taken = std::min(bytes.size(), terminal.takes);
    terminal.takes -= taken;
    terminal.stalled = taken < bytes.size();
    return taken;
  }

  static std::vector<std::byte> Compose(uint16_t queue,
                                        testing::FuzzBytes& input) {
    std::vector<std::byte> bytes;
    if (queue == kControlTransmitQueue) {
      const ControlMessage message{
          .port = input.Byte() % 5u,
          .event = static_cast<Event>(input.Byte() % 9),
          .value = static_cast<uint16_t>(input.Byte() % 3)};
      bytes.resize(sizeof(message));
      std::memcpy(bytes.data(), &message, sizeof(message));
      // Now and then not a whole one, or more.
      const uint8_t odd = input.Byte();
      if (odd % 16 == 0) bytes.resize(odd / 16);
      return bytes;
    }
    bytes.resize(input.Word() % 9000);
    return bytes;
  }

  void Embed(testing::FuzzBytes& input) {
    const uint8_t what = input.Byte();
    const auto port = static_cast<uint16_t>(what / 16 % (kPorts + 1));
    switch (what % 8) {
      case 0:
      case 1: {
        const std::vector<std::byte> bytes(input.Byte());
        const size_t taken = device_->Send(port, bytes);
        FUZZ_CHECK(taken <= bytes.size());
        if (port < kPorts) terminals_[port].sent += taken;
        break;
      }
      case 2:
      case 3:
        if (port < kPorts) {
          terminals_[port].takes += input.Word();
          terminals_[port].stalled = false;
        }
        device_->Resume(port);
        break;
      case 4:
        device_->SetOpen(port, input.Byte() % 2 != 0);
        break;
      case 5:
        device_->Resize(port, {input.Word(), input.Word()});
        break;
      case 6:
        device_->AddPort(port);
        break;
      case 7:
        device_->RemovePort(port);
        // Its stalled chain is gone with it.
        if (port < kPorts) terminals_[port].stalled = false;
        break;
    }
  }

  void OnUsed(uint16_t queue, uint32_t written) {
    if (queue == kControlReceiveQueue) {
      FUZZ_CHECK(written >= sizeof(ControlMessage));
      FUZZ_CHECK(written <= ConsoleControl::kMaxMessageSize);
      return;
    }
    for (uint16_t port = 0; port < kPorts; ++port) {
      if (queue != ReceiveQueue(port)) continue;
      FUZZ_CHECK(written > 0);
      terminals_[port].received += written;
      return;
    }
    FUZZ_CHECK(written == 0);
  }

  void OnReset() {
    for (uint16_t port = 0; port < kPorts; ++port) {
      FUZZ_CHECK(!device_->guest_open(port));
      terminals_[port].stalled = false;
    }
  }

  void Check() {
    for (const Terminal& terminal : terminals_) {
      FUZZ_CHECK(terminal.received <= terminal.sent);
    }
  }

  std::array<Terminal, kPorts> terminals_;
  std::unique_ptr<VirtioConsole> device_;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  libvmm::testing::FuzzBytes input({data, size});
  const libvmm::Session session(input);
  return 0;
}
