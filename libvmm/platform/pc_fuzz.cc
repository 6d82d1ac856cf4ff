// SPDX-License-Identifier: Apache-2.0
// The whole board of a PC, driven as its guest and its loop would, without
// running the guest: one machine with every device for all inputs, each of
// which goes on from where the last one ended. After every step:
//   the access was answered, by no more than done or stop;
//   a stop is one that a board has, from a source with a name, and is cleared;
//   the next deadline is later than now once deadlines have been served;
//   places without a device read all ones.
// Input: steps of an action, an address and data.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>

#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/serial/uart_16550a.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/pc.h"

namespace libvmm {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

// Where devices are, and edges between them.
constexpr uint32_t kPorts[] = {
    0x20,  0x21,  0x40,  0x43,  0x60,  0x61,  0x64,   0x70,   0x71,
    0x92,  0xa0,  0xa1,  0xe0,  0xe8,  0xe9,  0xf4,   0x2e8,  0x2f8,
    0x3e8, 0x3f8, 0x402, 0x4d0, 0x505, 0x510, 0x511,  0x514,  0x600,
    0x604, 0x608, 0xcf8, 0xcf9, 0xcfc, 0xcfe, 0x2000, 0xc000, 0xffff,
};
constexpr uint64_t kAddresses[] = {
    0xc0000000, 0xe0000000, 0xe0000010, 0xe00000ff, 0xe0008000, 0xe00ffffc,
    0xfec00000, 0xfec00010, 0xfec00040, 0xff000000, 0xfee00000, 0x100000000,
};
// Where no machine of the fuzz target has anything.
constexpr uint32_t kAbsentPorts[] = {0x10, 0x80, 0x1f0, 0x3d4, 0x900, 0xb000};
constexpr uint64_t kAbsentAddresses[] = {0xd0000000, 0xe0100000, 0xfed00000,
                                         0x900000000000};

// The bytes of an input, zeros behind its end.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : rest_(data, size) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  uint8_t Next() {
    if (rest_.empty()) return 0;
    const uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }

 private:
  std::span<const uint8_t> rest_;
};

class Session {
 public:
  static std::unique_ptr<Session> Create(PcIrqChip irqchip) {
    const absl::StatusOr<Kvm> kvm = Kvm::Open();
    if (!kvm.ok()) return nullptr;
    PcConfig config{.memory = {.size_mib = 2}, .irqchip = irqchip};
    config.devices = {.serial_ports = 4,
                      .keyboard = true,
                      .fw_cfg = true,
                      .debug_console = PcDebugConsole{.port = 0x402},
                      .exit_port = true,
                      .test_device = true};
    auto session = std::make_unique<Session>();
    PcHost host;
    host.clock = &session->clock_;
    absl::StatusOr<std::unique_ptr<Pc>> pc =
        Pc::Create(*kvm, config, std::move(host));
    FUZZ_CHECK(pc.ok());
    session->pc_ = *std::move(pc);
    session->ports_.emplace(session->pc_->ports().MakeCursor());
    session->mmio_.emplace(session->pc_->mmio().MakeCursor());
    return session;
  }

  void Step(Bytes& input) {
    const uint8_t action = input.Next();
    switch (action % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        Access(*ports_, Port(input), action, input);
        break;
      case 5:
      case 6:
      case 7:
        Access(*mmio_, Address(input), action, input);
        break;
      case 8:
        Absent(input);
        break;
      case 9:
        Receive(input);
        break;
      case 10:
        pc_->PressPowerButton();
        break;
      case 11:
        clock_.Advance(absl::Nanoseconds(1 << (input.Next() % 30)));
        break;
      case 12:
        clock_.Advance(absl::Milliseconds(input.Next()));
        [[fallthrough]];
      case 13:
        ServeDeadlines();
        break;
      case 14:
        pc_->event_sources()[0]->OnReady(0);
        break;
      case 15:
        pc_->interrupts().EndOfInterrupt(input.Next());
        break;
    }
    CheckStop();
  }

 private:
  uint64_t Port(Bytes& input) {
    const uint8_t which = input.Next();
    const uint64_t base = kPorts[which % std::size(kPorts)];
    return std::min<uint64_t>(base + which / std::size(kPorts), 0xffff);
  }
  uint64_t Address(Bytes& input) {
    const uint8_t which = input.Next();
    return kAddresses[which % std::size(kAddresses)] +
           which / std::size(kAddresses);
  }

  void Access(IoCursor& cursor, uint64_t address, uint8_t action,
              Bytes& input) {
    std::array<std::byte, 8> data{};
    const std::span bytes = std::span(data).first(1 + action / 16 % 8);
    const bool write = (action & 0x80) != 0;
    for (std::byte& byte : bytes) {
      byte = write ? std::byte{input.Next()} : std::byte{0};
    }
    const IoOutcome outcome =
        write ? cursor.Write(address, bytes) : cursor.Read(address, bytes);
    // The bus's end, where nothing can be claimed.
    if (address + bytes.size() > 0x10000 && &cursor == &*ports_) return;
    FUZZ_CHECK(outcome == IoOutcome::kDone || outcome == IoOutcome::kStop);
    FUZZ_CHECK(outcome != IoOutcome::kStop || pc_->stop().has_value());
  }

  void Absent(Bytes& input) {
    const uint8_t which = input.Next();
    std::array<std::byte, 4> data{};
    const std::span bytes = std::span(data).first(1 + which / 64);
    const IoOutcome outcome =
        (which & 1) != 0
            ? ports_->Read(kAbsentPorts[which / 2 % std::size(kAbsentPorts)],
                           bytes)
            : mmio_->Read(
                  kAbsentAddresses[which / 2 % std::size(kAbsentAddresses)],
                  bytes);
    FUZZ_CHECK(outcome == IoOutcome::kDone);
    for (const std::byte byte : bytes) FUZZ_CHECK(byte == std::byte{0xff});
  }

  void Receive(Bytes& input) {
    const uint8_t which = input.Next();
    const std::array<std::byte, 20> data{std::byte{which}};
    Uart16550a* const uart = pc_->serial(which % 4);
    FUZZ_CHECK(uart != nullptr);
    const std::span bytes = std::span(data).first(which / 16);
    FUZZ_CHECK(uart->Receive(bytes) <= bytes.size());
  }

  void ServeDeadlines() {
    EventSource& source = *pc_->event_sources()[0];
    source.OnDeadline();
    FUZZ_CHECK(source.NextDeadline() > clock_.Monotonic());
  }

  void CheckStop() {
    const std::optional<PcStop> stop = pc_->stop();
    if (!stop.has_value()) return;
    FUZZ_CHECK(!stop->source.empty());
    switch (stop->reason) {
      case PcStopReason::kPowerOff:
      case PcStopReason::kSleep:
        FUZZ_CHECK(stop->code < 8);
        break;
      case PcStopReason::kReset:
      case PcStopReason::kPanic:
        break;
      case PcStopReason::kExitCode:
        FUZZ_CHECK(stop->code % 2 == 1);
        break;
      case PcStopReason::kTripleFault:
      case PcStopReason::kHalted:
      case PcStopReason::kFailed:
        FUZZ_CHECK(false);
    }
    pc_->ClearStop();
    FUZZ_CHECK(!pc_->stop().has_value());
  }

  ManualClock clock_;
  std::unique_ptr<Pc> pc_;
  std::optional<IoCursor> ports_;
  std::optional<IoCursor> mmio_;
};

// Made once: a machine costs more than an input.
struct Sessions {
  std::unique_ptr<Session> split = Session::Create(PcIrqChip::kSplit);
  std::unique_ptr<Session> none = Session::Create(PcIrqChip::kNone);
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static libvmm::Sessions sessions;
  if (sessions.split == nullptr || sessions.none == nullptr) {
    static const bool told = [] {
      std::fprintf(stderr, "skipped: no /dev/kvm\n");
      return true;
    }();
    (void)told;
    return 0;
  }
  libvmm::Bytes input(data, size);
  libvmm::Session& session =
      (input.Next() & 1) != 0 ? *sessions.none : *sessions.split;
  while (!input.empty()) session.Step(input);
  return 0;
}
