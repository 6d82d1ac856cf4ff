// SPDX-License-Identifier: Apache-2.0
// All virtio devices of a PC at their places, driven by a hostile guest, without
// running one: registers over MMIO and PCI, rings and buffers in its memory, and
// what the host does meanwhile. One machine for all inputs; each begins with
// devices after reset and memory without rings. After every step:
//   the access was answered;
//   each device's status is one that a device can have, and a device that was
//   not started is not active;
//   MMIO shows no interrupt causes but those there are;
//   the next deadline is later than now once deadlines have been served;
// and at the end a reset leaves every device as it was.
// Input: steps of an action and its arguments.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/pci/pci_bus.h"
#include "libvmm/devices/virtio/block/callback_disk.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/input/input_codes.h"
#include "libvmm/devices/virtio/net/frame_net.h"
#include "libvmm/devices/virtio/transport/virtio_mmio_registers.h"
#include "libvmm/devices/virtio/transport/virtio_pci.h"
#include "libvmm/devices/virtio/transport/virtio_status.h"
#include "libvmm/devices/virtio/vsock/vsock_service.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/pc.h"
#include "libvmm/platform/pc_virtio.h"

namespace libvmm {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

constexpr uint64_t kFirstWindow = 0xfec10000;
constexpr uint64_t kWindowSize = 0x1000;
constexpr uint64_t kFirstBar = 0xc8000000;
constexpr uint64_t kBarSpacing = 0x100000;
// Rings, tables and buffers, close together so that they meet.
constexpr uint64_t kRings = 0x100000;
constexpr uint64_t kRingSize = 0x1000;
constexpr uint64_t kRingCount = 16;
constexpr uint8_t kFound = virtio::kStatusAcknowledge | virtio::kStatusDriver;
constexpr uint8_t kNegotiated = kFound | virtio::kStatusFeaturesOk;
constexpr uint8_t kRunning = kNegotiated | virtio::kStatusDriverOk;

// The bytes of an input, zeros behind its end.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : rest_(data, size) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  uint8_t U8() {
    if (rest_.empty()) return 0;
    const uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }
  uint16_t U16() { return static_cast<uint16_t>(U8() | U8() << 8); }
  uint32_t U32() { return U16() | static_cast<uint32_t>(U16()) << 16; }

 private:
  std::span<const uint8_t> rest_;
};

// Accepts each connection and gives back what it says.
class Echo final : public VsockService {
 public:
  void OnConnect(VsockStream stream) override {
    constexpr size_t kMost = 4;
    if (streams_.size() >= kMost) streams_.erase(streams_.begin());
    stream.Accept(nullptr);
    streams_.push_back(std::move(stream));
  }
  void OnAttach(VsockConnector* connector) override {
    if (connector == nullptr) streams_.clear();
  }
  void Serve() {
    for (VsockStream& stream : streams_) {
      stream.Consume(stream.Write(stream.Peek()));
      if (stream.AtEnd()) stream.ShutdownWrite();
    }
  }
  void Clear() { streams_.clear(); }

 private:
  std::vector<VsockStream> streams_;
};

PcVirtioConfig Devices() {
  const PcVirtioPlug mmio{.transport = PcVirtioTransport::kMmio};
  const PcVirtioPlug mmio_loop{.transport = PcVirtioTransport::kMmio,
                               .doorbell = PcVirtioDoorbell::kEventFd};
  const PcVirtioPlug polled{.doorbell = PcVirtioDoorbell::kPoll};
  return {.disks = {{.queues = 2, .limit = {.operations = 100}},
                    {.serial = "mmio", .plug = mmio_loop}},
          .nets = {{.mac = "52:54:00:00:00:01"}},
          .vsock = PcVsock(),
          .rng = PcRng{.bytes_limit = 1 << 16, .plug = mmio},
          .balloon = PcBalloon{.target_mib = 1, .plug = mmio},
          .console = PcConsole{.ports = {{.name = "one"}}, .plug = polled},
          .keyboard = PcInput{.plug = mmio},
          .tablet = PcInput()};
}

std::unique_ptr<BlockBackend> MakeDisk() {
  return CallbackDisk::Create(
             {.capacity = 1 << 20,
              .read =
                  [](uint64_t offset, std::span<std::byte> to) {
                    std::ranges::fill(to, std::byte(offset));
                    return offset % 4096 != 512;
                  },
              .write = [](uint64_t offset,
                          std::span<const std::byte>) { return offset != 0; }})
      .value();
}

class Session {
 public:
  static std::unique_ptr<Session> Create() {
    const absl::StatusOr<Kvm> kvm = Kvm::Open();
    if (!kvm.ok()) return nullptr;
    auto session = std::make_unique<Session>();
    PcHost host;
    host.clock = &session->clock_;
    host.virtio.disks.push_back(MakeDisk());
    host.virtio.disks.push_back(MakeDisk());
    auto net =
        FrameNet::Create({.on_frame = [](const IncomingFrame&) { return true; },
                          .send_offloads = NetOffloads::All(),
                          .receive_offloads = NetOffloads::All()});
    FUZZ_CHECK(net.ok());
    session->net_ = net->get();
    host.virtio.nets.emplace_back();
    host.virtio.nets[0].push_back(*std::move(net));
    auto echo = std::make_unique<Echo>();
    session->echo_ = echo.get();
    host.virtio.vsock = std::move(echo);
    host.virtio.entropy = [](std::span<std::byte> to) { return to.size(); };
    absl::StatusOr<std::unique_ptr<Pc>> pc = Pc::Create(
        *kvm,
        {.memory = {.size_mib = 2, .huge_pages = false}, .virtio = Devices()},
        std::move(host));
    FUZZ_CHECK(pc.ok());
    session->pc_ = *std::move(pc);
    session->mmio_.emplace(session->pc_->mmio().MakeCursor());
    for (const auto& slot : session->pc_->virtio().slots()) {
      session->Sort(*slot);
    }
    return session;
  }

  void Begin() {
    const std::vector<std::byte> zeros(kRingSize * kRingCount);
    FUZZ_CHECK(memory().Write(Gpa(kRings), zeros));
    Reset();
    for (uint8_t function = 1; function <= functions_.size(); ++function) {
      MoveBar(function, kFirstBar + function * kBarSpacing);
    }
  }

  void End() {
    echo_->Clear();
    Reset();
    for (const auto& slot : pc_->virtio().slots()) {
      FUZZ_CHECK(slot->front_end().ReadStatus() == 0);
      FUZZ_CHECK(!slot->front_end().active());
    }
  }

  void Step(Bytes& input) {
    switch (input.U8() % 14) {
      case 0:
      case 1:
        MmioRegister(input);
        break;
      case 2:
        Access(kFirstWindow + Window(input) * kWindowSize + input.U16() % 0x220,
               input);
        break;
      case 3:
      case 4:
        Access(BarOf(input) + input.U16(), input);
        break;
      case 5:
        ConfigCycle(input);
        break;
      case 6:
      case 7:
        WriteMemory(input);
        break;
      case 8:
      case 9:
        StartDriver(input);
        break;
      case 10:
      case 11:
        OfferAndRing(input);
        break;
      case 12:
        clock_.Advance(absl::Milliseconds(input.U8()));
        ServeSources();
        break;
      case 13:
        HostSide(input);
        break;
    }
    Check();
  }

 private:
  void Sort(PcVirtioSlot& slot) {
    if (std::holds_alternative<PcVirtioMmioPlace>(slot.place().where)) {
      windows_.push_back(&slot);
    } else {
      functions_.push_back(&slot);
    }
  }

  GuestMemory& memory() { return pc_->memory().guest_memory(); }

  size_t Window(Bytes& input) { return input.U8() % windows_.size(); }
  uint64_t BarOf(Bytes& input) {
    return kFirstBar + (1 + input.U8() % functions_.size()) * kBarSpacing;
  }
  PcVirtioSlot& Slot(Bytes& input) {
    const auto& slots = pc_->virtio().slots();
    return *slots[input.U8() % slots.size()];
  }

  void Access(uint64_t address, Bytes& input) {
    const uint8_t how = input.U8();
    std::array<std::byte, 8> data{};
    const std::span bytes = std::span(data).first(1 + how % 8);
    const bool write = (how & 0x80) != 0;
    for (std::byte& byte : bytes) {
      byte = write ? std::byte{input.U8()} : std::byte{0};
    }
    const IoOutcome outcome =
        write ? mmio_->Write(address, bytes) : mmio_->Read(address, bytes);
    FUZZ_CHECK(outcome == IoOutcome::kDone);
  }

  void MmioRegister(Bytes& input) {
    const uint64_t address = kFirstWindow + Window(input) * kWindowSize +
                             input.U8() % 0x40 * virtio::mmio::kRegisterSize;
    uint32_t value = input.U32();
    // What areas are in a guest that means well.
    if (value % 4 == 1) value = kRings + value / 4 % 0x10000 / 16 * 16;
    std::array<std::byte, 4> data{};
    std::memcpy(data.data(), &value, sizeof value);
    FUZZ_CHECK(mmio_->Write(address, data) == IoOutcome::kDone);
  }

  void MoveBar(uint8_t function, uint64_t address) {
    constexpr uint64_t kCommand = 4;
    constexpr uint64_t kBar0 = 16;
    WriteConfig(function, kBar0, static_cast<uint32_t>(address));
    WriteConfig(function, kBar0 + 4, static_cast<uint32_t>(address >> 32));
    WriteConfig(function, kCommand, 6);
  }
  void WriteConfig(uint8_t function, uint64_t offset, uint32_t value) {
    std::array<std::byte, 4> data{};
    std::memcpy(data.data(), &value, sizeof value);
    pc_->pci()->WriteConfig({.device = function}, offset, data);
  }
  void ConfigCycle(Bytes& input) {
    const auto function =
        static_cast<uint8_t>(1 + input.U8() % functions_.size());
    const uint8_t offset = input.U8() & 0xfc;
    const uint8_t how = input.U8();
    std::array<std::byte, 4> data{};
    if (how % 2 == 0) {
      pc_->pci()->ReadConfig({.device = function}, offset, data);
    } else {
      WriteConfig(function, offset, input.U32());
    }
  }

  void WriteMemory(Bytes& input) {
    const uint64_t gpa = kRings + input.U16() % (kRingSize * kRingCount);
    std::array<std::byte, 16> data{};
    const size_t size = 1 + input.U8() % data.size();
    for (size_t i = 0; i < size; ++i) data[i] = std::byte{input.U8()};
    (void)memory().Write(Gpa(gpa), std::span(data).first(size));
  }

  // All that a driver does, so that devices get to work soon.
  void StartDriver(Bytes& input) {
    using Area = VirtioFrontEnd::Area;
    VirtioFrontEnd& front_end = Slot(input).front_end();
    const uint8_t how = input.U8();
    front_end.WriteStatus(0);
    front_end.WriteStatus(virtio::kStatusAcknowledge);
    front_end.WriteStatus(kFound);
    const uint64_t offered = front_end.DeviceFeatures(0) |
                             static_cast<uint64_t>(front_end.DeviceFeatures(1))
                                 << 32;
    uint64_t wanted = virtio::kVersion1;
    if ((how & 1) != 0) wanted |= virtio::kRingPacked;
    if ((how & 2) != 0) wanted |= offered & 0xffffff;
    if ((how & 4) != 0) {
      wanted |= virtio::kIndirectDescriptors | virtio::kEventIndex;
    }
    wanted &= offered;
    front_end.WriteDriverFeatures(0, static_cast<uint32_t>(wanted));
    front_end.WriteDriverFeatures(1, static_cast<uint32_t>(wanted >> 32));
    front_end.WriteStatus(kNegotiated);
    for (uint16_t queue = 0; queue < front_end.queue_count(); ++queue) {
      const uint64_t ring = kRings + queue % kRingCount * kRingSize;
      front_end.SetQueueSize(queue, 8);
      front_end.SetQueueArea(queue, Area::kDescriptors, false,
                             static_cast<uint32_t>(ring));
      front_end.SetQueueArea(queue, Area::kDriver, false,
                             static_cast<uint32_t>(ring + 0x100));
      front_end.SetQueueArea(queue, Area::kDevice, false,
                             static_cast<uint32_t>(ring + 0x200));
      front_end.EnableQueue(queue);
    }
    front_end.WriteStatus(kRunning);
  }

  // A split chain of up to three descriptors, made available and rung.
  void OfferAndRing(Bytes& input) {
    PcVirtioSlot& slot = Slot(input);
    VirtioFrontEnd& front_end = slot.front_end();
    const uint16_t queue =
        input.U8() % std::max<uint16_t>(front_end.queue_count(), 1);
    const uint64_t ring = kRings + queue % kRingCount * kRingSize;
    const int count = 1 + input.U8() % 3;
    for (int i = 0; i < count; ++i) {
      const uint8_t how = input.U8();
      struct {
        uint64_t address;
        uint32_t size;
        uint16_t flags;
        uint16_t next;
      } descriptor = {
          .address = kRings + (how >> 4) * kRingSize + 0x400 + how % 4,
          .size = input.U16(),
          .flags = static_cast<uint16_t>((i + 1 < count ? 1 : 0) |
                                         ((how & 4) != 0 ? 2 : 0) |
                                         ((how & 8) != 0 ? 4 : 0)),
          .next = static_cast<uint16_t>(i + 1)};
      (void)memory().Write(Gpa(ring + 16 * static_cast<uint64_t>(i)),
                           std::as_bytes(std::span(&descriptor, 1)));
    }
    uint16_t index = 0;
    const Gpa available(ring + 0x102);
    (void)memory().Read(available,
                        std::as_writable_bytes(std::span(&index, 1)));
    const uint16_t head = 0;
    (void)memory().Write(Gpa(ring + 0x104 + index % 8 * 2),
                         std::as_bytes(std::span(&head, 1)));
    ++index;
    (void)memory().Write(available, std::as_bytes(std::span(&index, 1)));
    front_end.Notify(queue);
    slot.Poll();
  }

  void HostSide(Bytes& input) {
    PcVirtio& virtio = pc_->virtio();
    const uint8_t what = input.U8();
    const std::array<std::byte, 100> bytes{std::byte{what}};
    switch (what % 8) {
      case 0:
        (void)virtio.console()->Send(what / 8 % 3, bytes);
        break;
      case 1:
        (void)net_->Deliver(std::span(bytes).first(what / 4));
        break;
      case 2:
        virtio.balloon()->SetTargetPages(what * 16u);
        break;
      case 3: {
        const std::array event{VirtioInput::Event{
            .type = input_code::kKey, .code = what, .value = 1}};
        (void)virtio.keyboard()->Send(event);
        break;
      }
      case 4:
        echo_->Serve();
        break;
      case 5:
        FUZZ_CHECK(virtio.ResizeDisk(0).ok());
        break;
      case 6:
        virtio.net(0)->SetLinkUp(what % 16 < 8);
        break;
      case 7:
        virtio.Poll();
        break;
    }
  }

  void ServeSources() {
    for (EventSource* source : pc_->event_sources()) {
      source->OnReady(source->events());
      source->OnDeadline();
      FUZZ_CHECK(source->NextDeadline() > clock_.Monotonic());
    }
  }

  void Reset() {
    for (const auto& slot : pc_->virtio().slots()) slot->front_end().Reset();
  }

  void Check() {
    for (const auto& slot : pc_->virtio().slots()) {
      const uint8_t status = slot->front_end().ReadStatus();
      constexpr uint8_t kKnown =
          kRunning | virtio::kStatusFailed | virtio::kStatusNeedsReset;
      FUZZ_CHECK((status & ~kKnown) == 0);
      FUZZ_CHECK(!slot->front_end().active() ||
                 (status & virtio::kStatusDriverOk) != 0);
    }
    constexpr uint32_t kCauses = virtio::mmio::kInterruptUsedBuffer |
                                 virtio::mmio::kInterruptConfigChange;
    for (size_t i = 0; i < windows_.size(); ++i) {
      uint32_t causes = 0;
      FUZZ_CHECK(mmio_->Read(kFirstWindow + i * kWindowSize +
                                 static_cast<uint64_t>(
                                     virtio::mmio::Register::kInterruptStatus),
                             std::as_writable_bytes(std::span(&causes, 1))) ==
                 IoOutcome::kDone);
      FUZZ_CHECK((causes & ~kCauses) == 0);
    }
  }

  ManualClock clock_;
  FrameNet* net_ = nullptr;
  Echo* echo_ = nullptr;
  std::unique_ptr<Pc> pc_;
  std::optional<IoCursor> mmio_;
  std::vector<PcVirtioSlot*> windows_;
  std::vector<PcVirtioSlot*> functions_;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::unique_ptr<libvmm::Session> session =
      libvmm::Session::Create();
  if (session == nullptr) {
    static const bool told = [] {
      std::fprintf(stderr, "skipped: no /dev/kvm\n");
      return true;
    }();
    (void)told;
    return 0;
  }
  libvmm::Bytes input(data, size);
  session->Begin();
  while (!input.empty()) session->Step(input);
  session->End();
  return 0;
}
