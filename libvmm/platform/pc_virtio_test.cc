// SPDX-License-Identifier: Apache-2.0
// A machine's virtio devices at their places, with the registers written as a
// guest would; what Linux makes of them is in tests/virtio.
#include "libvmm/platform/pc_virtio.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/boot/long_mode.h"
#include "libvmm/boot/page_tables.h"
#include "libvmm/devices/pci/pci_bus.h"
#include "libvmm/devices/virtio/block/callback_disk.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/net/frame_net.h"
#include "libvmm/devices/virtio/net/pair_net.h"
#include "libvmm/devices/virtio/transport/virtio_mmio_registers.h"
#include "libvmm/devices/virtio/transport/virtio_pci.h"
#include "libvmm/devices/virtio/transport/virtio_pci_registers.h"
#include "libvmm/devices/virtio/transport/virtio_status.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/platform/pc.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using ::libvmm::testing::GuestCode;
using ::libvmm::testing::KeepHeapInBrk;
using ::libvmm::testing::ProcessResources;
using ::libvmm::testing::StatusIs;
using ::libvmm::testing::VirtqueueDriver;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Register = virtio::mmio::Register;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr uint64_t kFirstWindow = 0xfec10000;
constexpr uint64_t kWindowSize = 0x1000;
constexpr Gpa kRing{0x100000};
constexpr Gpa kBuffer{0x200000};
constexpr Gpa kEntry{0x10000};

// Rings queue 0 of the first device over MMIO, then of the device whose BAR is
// at 0xd0000000, and ends with the exit port.
LIBVMM_GUEST_CODE(kRingBells, 64, R"(
  mov $0xfec10050, %ebx
  movl $0, (%rbx)
  mov $0xd0003000, %ebx
  movw $0, (%rbx)
  mov $1, %al
  out %al, $0xf4
  hlt
)");
constexpr uint64_t kBarAddress = 0xd0000000;

class PcVirtioTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(kvm_, Kvm::Open());
  }

  static PcConfig Machine(const PcVirtioConfig& virtio) {
    return {.memory = {.size_mib = 4, .huge_pages = false},
            .devices = {.exit_port = true},
            .virtio = virtio};
  }

  absl::Status TryCreate(const PcVirtioConfig& virtio,
                         PcVirtioHost host = PcVirtioHost()) {
    PcHost all;
    all.clock = &clock_;
    all.virtio = std::move(host);
    absl::StatusOr<std::unique_ptr<Pc>> pc =
        Pc::Create(*kvm_, Machine(virtio), std::move(all));
    if (!pc.ok()) return pc.status();
    pc_ = *std::move(pc);
    return absl::OkStatus();
  }
  void Create(const PcVirtioConfig& virtio,
              PcVirtioHost host = PcVirtioHost()) {
    ASSERT_OK(TryCreate(virtio, std::move(host)));
  }

  uint32_t Read(uint64_t address) {
    std::array<std::byte, 4> data{};
    IoCursor cursor = pc_->mmio().MakeCursor();
    EXPECT_EQ(cursor.Read(address, data), IoOutcome::kDone);
    uint32_t value = 0;
    std::memcpy(&value, data.data(), sizeof value);
    return value;
  }
  void Write(uint64_t address, uint32_t value) {
    std::array<std::byte, 4> data{};
    std::memcpy(data.data(), &value, sizeof value);
    IoCursor cursor = pc_->mmio().MakeCursor();
    EXPECT_EQ(cursor.Write(address, data), IoOutcome::kDone);
  }
  uint32_t Read(size_t window, Register offset) {
    return Read(kFirstWindow + window * kWindowSize +
                static_cast<uint64_t>(offset));
  }
  void Write(size_t window, Register offset, uint32_t value) {
    Write(kFirstWindow + window * kWindowSize + static_cast<uint64_t>(offset),
          value);
  }

  uint32_t ReadPci(uint8_t device, uint64_t offset) {
    std::array<std::byte, 4> data{};
    pc_->pci()->ReadConfig({.device = device}, offset, data);
    uint32_t value = 0;
    std::memcpy(&value, data.data(), sizeof value);
    return value;
  }
  void WritePci(uint8_t device, uint64_t offset, uint32_t value) {
    std::array<std::byte, 4> data{};
    std::memcpy(data.data(), &value, sizeof value);
    pc_->pci()->WriteConfig({.device = device}, offset, data);
  }
  // Memory decoding on, BAR 0 at kBarAddress.
  void MoveBar(uint8_t device) {
    constexpr uint64_t kCommand = 0x04;
    constexpr uint64_t kBar0 = 0x10;
    constexpr uint32_t kMemoryAndMaster = 6;
    WritePci(device, kBar0, kBarAddress);
    WritePci(device, kBar0 + 4, 0);
    WritePci(device, kCommand, kMemoryAndMaster);
  }

  // What a driver does until DRIVER_OK, with queue 0 alone.
  void StartDriver(VirtioFrontEnd& front_end, const VirtqueueConfig& queue) {
    using Area = VirtioFrontEnd::Area;
    constexpr uint8_t kFound =
        virtio::kStatusAcknowledge | virtio::kStatusDriver;
    front_end.WriteStatus(virtio::kStatusAcknowledge);
    front_end.WriteStatus(kFound);
    const uint64_t features =
        virtio::kVersion1 | (queue.packed ? virtio::kRingPacked : 0);
    front_end.WriteDriverFeatures(0, static_cast<uint32_t>(features));
    front_end.WriteDriverFeatures(1, static_cast<uint32_t>(features >> 32));
    front_end.WriteStatus(kFound | virtio::kStatusFeaturesOk);
    front_end.SetQueueSize(0, queue.size);
    for (const auto& [area, gpa] :
         {std::pair(Area::kDescriptors, queue.descriptors),
          std::pair(Area::kDriver, queue.driver),
          std::pair(Area::kDevice, queue.device)}) {
      front_end.SetQueueArea(0, area, false,
                             static_cast<uint32_t>(gpa.value()));
    }
    front_end.EnableQueue(0);
    front_end.WriteStatus(kFound | virtio::kStatusFeaturesOk |
                          virtio::kStatusDriverOk);
    ASSERT_TRUE(front_end.active());
  }

  // The driver of the random number device in `slot`, its queue set up.
  std::unique_ptr<VirtqueueDriver> StartRng(size_t slot, Gpa ring = kRing,
                                            bool packed = false) {
    auto driver = std::make_unique<VirtqueueDriver>(
        pc_->memory().guest_memory(), ring,
        VirtqueueDriver::Options{.packed = packed});
    StartDriver(pc_->virtio().slots()[slot]->front_end(), driver->config());
    return driver;
  }
  static void AskForBytes(VirtqueueDriver& driver, uint32_t size = 16) {
    ASSERT_TRUE(driver.Add({{.gpa = kBuffer, .size = size, .writable = true}})
                    .has_value());
    (void)driver.Publish();
  }

  static bool IsReady(const EventSource& source) {
    pollfd entry{.fd = source.fd(), .events = source.events(), .revents = 0};
    return poll(&entry, 1, 0) == 1;
  }
  // One turn of a loop.
  void ServeSources() {
    for (EventSource* source : pc_->event_sources()) {
      if (IsReady(*source)) source->OnReady(POLLIN);
      if (source->NextDeadline() <= clock_.Monotonic()) source->OnDeadline();
    }
  }

  // Runs `code` in long mode with everything below 4 GiB at its own address,
  // until it stops; how many MMIO exits that took.
  int Run(GuestCode code) {
    int exits = 0;
    [&] {
      ASSERT_TRUE(pc_->memory().guest_memory().Write(
          kEntry, std::as_bytes(std::span(code))));
      const PageMapping mappings[] = {IdentityMapping(
          {Gpa(0), uint64_t{4} << 30}, {.writable = true, .executable = true})};
      PcVcpu& vcpu = *pc_->vcpus()[0];
      ASSERT_OK(EnterLongMode(vcpu.vcpu(), pc_->memory().guest_memory(),
                              {.entry = Gva(kEntry.value()),
                               .stack_top = Gva(0x9000),
                               .tables = {Gpa(0x20000), 0x10000},
                               .mappings = mappings}));
      vcpu.set_observer([&exits](const Exit& exit) {
        exits += exit.reason() == ExitReason::kMmio ? 1 : 0;
      });
      ASSERT_OK(VcpuThread::InstallKickHandler(SIGUSR1));
      ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
      PcRunResult result = PcRunResult::kInterrupted;
      while (result == PcRunResult::kInterrupted) {
        ASSERT_OK_AND_ASSIGN(result, vcpu.Run(thread));
      }
      EXPECT_EQ(result, PcRunResult::kStopped);
      ASSERT_TRUE(pc_->stop().has_value());
      EXPECT_EQ(pc_->stop()->reason, PcStopReason::kExitCode);
    }();
    return exits;
  }

  std::string TemporaryFile(absl::string_view name, off_t size) {
    const std::string path = absl::StrCat(::testing::TempDir(), "/", name);
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT_GE(fd, 0);
    EXPECT_EQ(::ftruncate(fd, size), 0);
    ::close(fd);
    return path;
  }

  std::optional<Kvm> kvm_;
  ManualClock clock_;
  std::unique_ptr<Pc> pc_;
};

std::unique_ptr<BlockBackend> SomeDisk() {
  return CallbackDisk::Create(
             {.capacity = 1 << 20,
              .read = [](uint64_t, std::span<std::byte>) { return true; }})
      .value();
}

std::unique_ptr<NetBackend> SomeNet() {
  return FrameNet::Create(FrameNet::Options()).value();
}

// One device of each kind, those of the host without anything of it.
PcVirtioConfig OneOfEach() {
  return {.disks = {{}},
          .nets = {{}},
          .vsock = PcVsock(),
          .shares = {{.directory = ::testing::TempDir(), .tag = "tmp"}},
          .rng = PcRng(),
          .balloon = PcBalloon(),
          .console = PcConsole(),
          .keyboard = PcInput(),
          .tablet = PcInput()};
}
PcVirtioHost HostOfEach() {
  PcVirtioHost host;
  host.disks.push_back(SomeDisk());
  host.nets.emplace_back();
  host.nets[0].push_back(SomeNet());
  return host;
}
// In the order of PlacePcVirtio (virtio 1.2, section 5).
constexpr std::array<uint32_t, 9> kIds = {2, 1, 19, 26, 4, 5, 3, 18, 18};

TEST_F(PcVirtioTest, AMachineWithoutVirtioHasNone) {
  Create({});
  EXPECT_TRUE(pc_->virtio().slots().empty());
  EXPECT_EQ(pc_->virtio().disk(0), nullptr);
  EXPECT_EQ(pc_->virtio().net(0), nullptr);
  EXPECT_EQ(pc_->virtio().vsock(), nullptr);
  EXPECT_EQ(pc_->virtio().rng(), nullptr);
  EXPECT_EQ(pc_->virtio().balloon(), nullptr);
  EXPECT_EQ(pc_->virtio().console(), nullptr);
  EXPECT_EQ(pc_->virtio().keyboard(), nullptr);
  EXPECT_EQ(pc_->virtio().tablet(), nullptr);
  EXPECT_EQ(pc_->event_sources().size(), 1u);
}

TEST_F(PcVirtioTest, EachKindAnswersInItsWindow) {
  PcVirtioConfig config = OneOfEach();
  config.transport = PcVirtioTransport::kMmio;
  Create(config, HostOfEach());
  for (size_t i = 0; i < kIds.size(); ++i) {
    EXPECT_EQ(Read(i, Register::kMagicValue), virtio::mmio::kMagic) << i;
    EXPECT_EQ(Read(i, Register::kVersion), 2u) << i;
    EXPECT_EQ(Read(i, Register::kDeviceId), kIds[i]) << i;
  }
  EXPECT_EQ(Read(kIds.size(), Register::kMagicValue), 0xffffffff);
}

TEST_F(PcVirtioTest, EachKindIsAFunctionOfThePciBus) {
  Create(OneOfEach(), HostOfEach());
  for (size_t i = 0; i < kIds.size(); ++i) {
    const uint32_t id = virtio::pci::kFirstDeviceId + kIds[i];
    EXPECT_EQ(ReadPci(static_cast<uint8_t>(i + 1), 0),
              id << 16 | virtio::pci::kVendorId)
        << i;
  }
  EXPECT_EQ(ReadPci(kIds.size() + 1, 0), 0xffffffff);
}

TEST_F(PcVirtioTest, TheEmbedderReachesEachDevice) {
  Create(OneOfEach(), HostOfEach());
  PcVirtio& virtio = pc_->virtio();
  ASSERT_EQ(virtio.slots().size(), kIds.size());
  EXPECT_EQ(&virtio.slots()[0]->front_end().device(), virtio.disk(0));
  EXPECT_EQ(&virtio.slots()[1]->front_end().device(), virtio.net(0));
  EXPECT_EQ(&virtio.slots()[2]->front_end().device(), virtio.vsock());
  EXPECT_EQ(&virtio.slots()[4]->front_end().device(), virtio.rng());
  EXPECT_EQ(&virtio.slots()[5]->front_end().device(), virtio.balloon());
  EXPECT_EQ(&virtio.slots()[6]->front_end().device(), virtio.console());
  EXPECT_EQ(&virtio.slots()[7]->front_end().device(), virtio.keyboard());
  EXPECT_EQ(&virtio.slots()[8]->front_end().device(), virtio.tablet());
  EXPECT_EQ(virtio.disk(1), nullptr);
  EXPECT_EQ(virtio.net(1), nullptr);
}

TEST_F(PcVirtioTest, ValuesOfTheConfigArriveAtTheDevice) {
  Create({.transport = PcVirtioTransport::kMmio,
          .nets = {{.mac = "52:54:00:01:02:03"}},
          .vsock = PcVsock{.cid = 77},
          .balloon = PcBalloon{.target_mib = 2}},
         [] {
           PcVirtioHost host;
           host.nets.emplace_back();
           host.nets[0].push_back(SomeNet());
           return host;
         }());
  constexpr uint64_t kConfig = virtio::mmio::kConfigOffset;
  EXPECT_EQ(Read(kFirstWindow + kConfig), 0x01005452u);
  EXPECT_EQ(Read(kFirstWindow + kWindowSize + kConfig), 77u);
  EXPECT_EQ(Read(kFirstWindow + 2 * kWindowSize + kConfig), 512u);
}

TEST_F(PcVirtioTest, PackedRingsAreOfferedAsTheConfigSays) {
  const auto offered = [this] {
    return pc_->virtio().slots()[0]->front_end().DeviceFeatures(1);
  };
  constexpr auto kPacked = static_cast<uint32_t>(virtio::kRingPacked >> 32);
  Create({.rng = PcRng()});
  EXPECT_NE(offered() & kPacked, 0u);
  Create({.packed_rings = false, .rng = PcRng()});
  EXPECT_EQ(offered() & kPacked, 0u);
}

TEST_F(PcVirtioTest, AnInlineQueueIsServedInsideTheWrite) {
  PcVirtioHost host;
  host.entropy = [](std::span<std::byte> to) {
    for (std::byte& byte : to) byte = std::byte{0x42};
    return to.size();
  };
  Create({.transport = PcVirtioTransport::kMmio, .rng = PcRng()},
         std::move(host));
  const auto driver = StartRng(0);
  AskForBytes(*driver);
  EXPECT_FALSE(driver->Collect().has_value());
  Write(0, Register::kQueueNotify, 0);
  const auto used = driver->Collect();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->written, 16u);
  std::array<std::byte, 16> bytes{};
  ASSERT_TRUE(pc_->memory().guest_memory().Read(kBuffer, bytes));
  EXPECT_THAT(bytes, ::testing::Each(std::byte{0x42}));
  EXPECT_EQ(Read(0, Register::kInterruptStatus),
            virtio::mmio::kInterruptUsedBuffer);
}

TEST_F(PcVirtioTest, AnEventFdQueueIsServedByTheLoop) {
  Create({.transport = PcVirtioTransport::kMmio,
          .doorbell = PcVirtioDoorbell::kEventFd,
          .rng = PcRng()});
  // Deadlines, and the doorbell.
  ASSERT_EQ(pc_->event_sources().size(), 2u);
  const auto driver = StartRng(0);
  ServeSources();
  AskForBytes(*driver);
  Write(0, Register::kQueueNotify, 0);
  EXPECT_FALSE(driver->Collect().has_value());
  ServeSources();
  EXPECT_TRUE(driver->Collect().has_value());
}

TEST_F(PcVirtioTest, APolledQueueIsServedByPoll) {
  Create({.transport = PcVirtioTransport::kMmio,
          .rng = PcRng{.plug = {.doorbell = PcVirtioDoorbell::kPoll}}});
  EXPECT_EQ(pc_->event_sources().size(), 1u);
  const auto driver = StartRng(0);
  AskForBytes(*driver);
  Write(0, Register::kQueueNotify, 0);
  ServeSources();
  EXPECT_FALSE(driver->Collect().has_value());
  pc_->virtio().Poll();
  EXPECT_TRUE(driver->Collect().has_value());
}

TEST_F(PcVirtioTest, PollLeavesQueuesAloneThatOthersServe) {
  Create({.doorbell = PcVirtioDoorbell::kEventFd, .rng = PcRng()});
  const auto driver = StartRng(0);
  ServeSources();
  AskForBytes(*driver);
  pc_->virtio().Poll();
  EXPECT_FALSE(driver->Collect().has_value());
}

TEST_F(PcVirtioTest, GuestsRingTheLoopWithoutAnExitWhereverTheBarIs) {
  const PcVirtioPlug mmio{.transport = PcVirtioTransport::kMmio,
                          .doorbell = PcVirtioDoorbell::kEventFd};
  PcVirtioHost host;
  host.disks.push_back(SomeDisk());
  Create({.doorbell = PcVirtioDoorbell::kEventFd,
          .disks = {{.plug = mmio}},
          .rng = PcRng()},
         std::move(host));
  ASSERT_EQ(pc_->event_sources().size(), 3u);
  const EventSource& disk = *pc_->event_sources()[1];
  const EventSource& rng = *pc_->event_sources()[2];
  // There is nothing at the BAR's place before it is there.
  EXPECT_EQ(Run(kRingBells), 1);
  EXPECT_TRUE(IsReady(disk));
  EXPECT_FALSE(IsReady(rng));
  ServeSources();
  pc_->ClearStop();
  MoveBar(1);
  EXPECT_EQ(Run(kRingBells), 0);
  EXPECT_TRUE(IsReady(disk));
  EXPECT_TRUE(IsReady(rng));
}

TEST_F(PcVirtioTest, PciFunctionsInterruptTheirDevicesPin) {
  // Without MSI-X: the Status register says what the pin is driven by.
  Create({.rng = PcRng()});
  MoveBar(1);
  const auto driver = StartRng(0);
  AskForBytes(*driver);
  constexpr uint64_t kStatus = 0x04;
  constexpr uint32_t kInterruptStatus = 1 << 19;
  EXPECT_EQ(ReadPci(1, kStatus) & kInterruptStatus, 0u);
  Write(kBarAddress + VirtioPci::kNotifyOffset, 0);
  EXPECT_TRUE(driver->Collect().has_value());
  EXPECT_NE(ReadPci(1, kStatus) & kInterruptStatus, 0u);
}

TEST_F(PcVirtioTest, ALimitedRngGoesOnWhenItsDeadlineComes) {
  Create(
      {.transport = PcVirtioTransport::kMmio, .rng = PcRng{.bytes_limit = 64}});
  const auto driver = StartRng(0);
  AskForBytes(*driver, 64);
  Write(0, Register::kQueueNotify, 0);
  EXPECT_TRUE(driver->Collect().has_value());
  AskForBytes(*driver, 64);
  Write(0, Register::kQueueNotify, 0);
  EXPECT_FALSE(driver->Collect().has_value());
  EventSource& deadlines = *pc_->event_sources()[0];
  EXPECT_GT(deadlines.NextDeadline(), clock_.Monotonic());
  clock_.Advance(absl::Seconds(1));
  ServeSources();
  EXPECT_TRUE(driver->Collect().has_value());
}

TEST_F(PcVirtioTest, DisksAreFilesOfTheHost) {
  const std::string path = TemporaryFile("disk.img", 3 << 20);
  for (const PcDisk::Io io : {PcDisk::Io::kSync, PcDisk::Io::kIoUring}) {
    const absl::Status status =
        TryCreate({.transport = PcVirtioTransport::kMmio,
                   .disks = {{.path = path, .io = io, .queues = 2}}});
    if (io == PcDisk::Io::kIoUring && !status.ok()) {
      GTEST_SKIP() << "no io_uring here: " << status;
    }
    ASSERT_OK(status);
    // Its completions want a loop.
    EXPECT_EQ(pc_->event_sources().size(),
              io == PcDisk::Io::kIoUring ? 2u : 1u);
    constexpr uint64_t kCapacity = virtio::mmio::kConfigOffset;
    EXPECT_EQ(Read(kFirstWindow + kCapacity), (3u << 20) / 512);
    ASSERT_EQ(::truncate(path.c_str(), 5 << 20), 0);
    EXPECT_EQ(Read(kFirstWindow + kCapacity), (3u << 20) / 512);
    ASSERT_OK(pc_->virtio().ResizeDisk(0));
    EXPECT_EQ(Read(kFirstWindow + kCapacity), (5u << 20) / 512);
    EXPECT_THAT(
        pc_->virtio().ResizeDisk(1),
        StatusIs(absl::StatusCode::kNotFound, "there is no virtio.disks[1]"));
    ASSERT_EQ(::truncate(path.c_str(), 3 << 20), 0);
  }
}

TEST_F(PcVirtioTest, NetworksOfAKindAreOpenedByTheHost) {
  std::vector<std::string> opened;
  const auto open = [&](const PcNet& net,
                        const Clock& clock) -> absl::StatusOr<PcNetBackends> {
    EXPECT_EQ(&clock, &clock_);
    const auto* pair = std::get_if<PcPairNet>(&net.peer);
    opened.push_back(pair == nullptr ? "user" : pair->name);
    if (opened.back() == "bad") return absl::NotFoundError("no such cable");
    absl::StatusOr<PairNet::Ends> ends = PairNet::Create();
    if (!ends.ok()) return ends.status();
    PcNetBackends backends;
    backends.push_back(std::move(ends->first));
    return backends;
  };
  PcVirtioHost host;
  host.open_net = open;
  Create({.nets = {{.peer = PcUserNet()}, {.peer = PcPairNet{"cable"}}}},
         std::move(host));
  EXPECT_THAT(opened, ElementsAre("user", "cable"));
  // Both cables want a loop.
  EXPECT_EQ(pc_->event_sources().size(), 3u);

  PcVirtioHost again;
  again.open_net = open;
  EXPECT_THAT(
      TryCreate({.nets = {{.peer = PcPairNet{"bad"}}}}, std::move(again)),
      StatusIs(absl::StatusCode::kNotFound, "virtio.nets[0]: no such cable"));
}

TEST_F(PcVirtioTest, ErrorsNameTheDevice) {
  EXPECT_THAT(TryCreate({.disks = {{.path = "/no/such"}}}),
              StatusIs(absl::StatusCode::kNotFound,
                       StartsWith("virtio.disks[0]: open(/no/such)")));
  EXPECT_THAT(TryCreate({.disks = {{.path = "/dev/null"}}}),
              StatusIs(kInvalid, StartsWith("virtio.disks[0]: /dev/null: ")));
  EXPECT_THAT(TryCreate({.disks = {{}}}),
              StatusIs(kInvalid,
                       "virtio.disks[0]: path is empty, and "
                       "PcVirtioHost::disks has no back-end"));
  EXPECT_THAT(TryCreate({.nets = {{}}}),
              StatusIs(kInvalid,
                       "virtio.nets[0]: peer is not set, and "
                       "PcVirtioHost::nets has no back-end"));
  EXPECT_THAT(TryCreate({.nets = {{.peer = PcUserNet()}}}),
              StatusIs(absl::StatusCode::kUnimplemented,
                       StartsWith("virtio.nets[0]: PcVirtioHost::open_net")));
  PcVirtioHost host;
  host.nets.emplace_back();
  host.nets[0].push_back(SomeNet());
  EXPECT_THAT(TryCreate({.nets = {{.queues = 2}}}, std::move(host)),
              StatusIs(kInvalid,
                       "virtio.nets[0]: queues is 2, and there are 1 "
                       "back-ends"));
  EXPECT_THAT(
      TryCreate({.shares = {{.directory = "/no/such", .tag = "t"}}}),
      StatusIs(absl::StatusCode::kNotFound, StartsWith("virtio.shares[0]: ")));
  EXPECT_THAT(
      TryCreate({.vsock = PcVsock{.uds_path = "/no/such/socket"}}),
      StatusIs(absl::StatusCode::kNotFound, StartsWith("virtio.vsock: ")));
}

TEST_F(PcVirtioTest, AMachineGivesBackAllThatItsDevicesTook) {
  KeepHeapInBrk();
  const std::string path = TemporaryFile("given_back.img", 1 << 20);
  const auto live = [&] {
    PcVirtioConfig config = OneOfEach();
    config.doorbell = PcVirtioDoorbell::kEventFd;
    config.disks.push_back({.path = path});
    // A test's own folder may be too long for a socket.
    config.vsock->uds_path = absl::StrCat("/tmp/pc_virtio_test.", ::getpid());
    Create(config, HostOfEach());
    MoveBar(1);
    const auto driver = StartRng(5);
    AskForBytes(*driver);
    ServeSources();
    pc_.reset();
  };
  live();
  const ProcessResources before = ProcessResources::Now();
  live();
  EXPECT_EQ(ProcessResources::Now().Since(before), "");
}

// The device is reset before memory goes.
TEST_F(PcVirtioTest, AMachineMayEndWithRequestsInFlight) {
  Create(
      {.transport = PcVirtioTransport::kMmio, .rng = PcRng{.bytes_limit = 1}});
  const auto driver = StartRng(0);
  for (int i = 0; i < 4; ++i) AskForBytes(*driver);
  Write(0, Register::kQueueNotify, 0);
  pc_.reset();
}

}  // namespace
}  // namespace libvmm
