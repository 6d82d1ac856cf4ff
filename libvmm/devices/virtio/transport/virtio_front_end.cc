// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/transport/virtio_front_end.h"

#include <poll.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/transport/run_gate.h"
#include "libvmm/devices/virtio/transport/virtio_status.h"

namespace libvmm {

using namespace virtio;  // NOLINT: the specification's names.

namespace {

constexpr uint16_t kMaxQueueSize = 32768;
constexpr size_t kMaxQueues = std::numeric_limits<uint16_t>::max();
constexpr unsigned kHalfBits = 32;
constexpr uint64_t kLowHalf = 0xffffffff;
constexpr size_t kCacheLine = 64;

// Rounds that a thread serves a lane in a row. Each is bounded by the device;
// more only come when somebody asked again during the last one.
constexpr int kRounds = 4;

// Deadlines are moments of the clock in nanoseconds.
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

int64_t ToMoment(absl::Duration when) {
  // Rounded up: never too early. Infinity becomes kNever.
  return absl::ToInt64Nanoseconds(absl::Ceil(when, absl::Nanoseconds(1)));
}

absl::Status BadTrait(absl::string_view field, uint64_t value,
                      absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("VirtioDevice::Traits.", field, " is ", value, ": ", why));
}

absl::Status CheckTraits(const VirtioDevice::Traits& traits) {
  if ((traits.features & kSharedFeatures & ~kInOrder) != 0) {
    return BadTrait("features", traits.features,
                    "of the bits 24 to 40 a device offers VIRTIO_F_IN_ORDER "
                    "only");
  }
  if (traits.config_size > VirtioFrontEnd::kMaxConfigSize) {
    return BadTrait(
        "config_size", traits.config_size,
        absl::StrCat("at most ", VirtioFrontEnd::kMaxConfigSize, " can be"));
  }
  if (traits.lanes == 0) return BadTrait("lanes", 0, "at least 1 can be");
  if (traits.queues.size() > kMaxQueues) {
    return BadTrait("queues.size()", traits.queues.size(),
                    absl::StrCat("at most ", kMaxQueues, " can be"));
  }
  for (size_t i = 0; i < traits.queues.size(); ++i) {
    const VirtioDevice::Queue& queue = traits.queues[i];
    const std::string field = absl::StrCat("queues[", i, "]");
    if (!std::has_single_bit(queue.max_size) ||
        queue.max_size > kMaxQueueSize) {
      return BadTrait(absl::StrCat(field, ".max_size"), queue.max_size,
                      "a power of two up to 32768 can be");
    }
    if (queue.lane >= traits.lanes) {
      return BadTrait(absl::StrCat(field, ".lane"), queue.lane,
                      absl::StrCat("there are ", traits.lanes, " lanes"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

// On cache lines of its own: each lane may have a thread of its own.
struct alignas(kCacheLine) VirtioFrontEnd::Lane {
  RunGate gate;
  // The device's deadline, and when a lane that was handed over is due.
  std::atomic<int64_t> deadline = kNever;
  std::atomic<int64_t> left_over = kNever;
  // Of the memory map that the rings were looked up in. The gate's.
  uint64_t map_generation = 0;

  uint16_t index = 0;
  VirtioDoorbell doorbell = VirtioDoorbell::kInline;
  std::vector<uint16_t> queues;
  std::unique_ptr<LaneSource> source;
};

class VirtioFrontEnd::LaneSource final : public EventSource {
 public:
  LaneSource(VirtioFrontEnd& front_end, Lane& lane, EventFd event)
      : front_end_(front_end), lane_(lane), event_(std::move(event)) {}

  [[nodiscard]] const EventFd& event() const { return event_; }

  [[nodiscard]] int fd() const override { return event_.fd(); }
  [[nodiscard]] short events() const override { return POLLIN; }
  [[nodiscard]] absl::Duration NextDeadline() const override {
    return absl::InfiniteDuration();
  }
  void OnReady(short revents) override {
    if ((revents & POLLIN) == 0) return;
    // Before serving: a signal during it is for another time.
    (void)event_.Drain();
    front_end_.Run(lane_);
  }
  void OnDeadline() override {}

 private:
  VirtioFrontEnd& front_end_;
  Lane& lane_;
  EventFd event_;
};

class VirtioFrontEnd::Link final : public VirtioLink {
 public:
  explicit Link(VirtioFrontEnd& front_end) : front_end_(front_end) {}

  [[nodiscard]] uint64_t features() const override {
    return front_end_.negotiated_;
  }
  [[nodiscard]] GuestMemory& memory() override { return front_end_.memory_; }
  [[nodiscard]] const Clock& clock() const override {
    return front_end_.clock_;
  }
  [[nodiscard]] Virtqueue* queue(uint16_t index) override {
    if (index >= front_end_.rings_.size()) return nullptr;
    std::optional<Virtqueue>& ring = front_end_.rings_[index];
    return ring.has_value() ? &*ring : nullptr;
  }
  void Interrupt(uint16_t index) override { front_end_.Interrupt(index); }
  void ConfigChanged() override {
    front_end_.generation_.fetch_add(1, std::memory_order_acq_rel);
    front_end_.ConfigInterrupt();
  }
  void Fail() override { front_end_.Fail(); }
  void Wake(uint16_t lane) override { front_end_.Poll(lane); }
  void SetDeadline(uint16_t lane, absl::Duration when) override {
    if (lane >= front_end_.lanes_.size()) return;
    front_end_.MoveDeadline(front_end_.lanes_[lane]->deadline, ToMoment(when));
  }

 private:
  VirtioFrontEnd& front_end_;
};

absl::StatusOr<std::unique_ptr<VirtioFrontEnd>> VirtioFrontEnd::Create(
    VirtioDevice& device, GuestMemory& memory, const Clock& clock,
    Options options) {
  const VirtioDevice::Traits& traits = device.traits();
  LIBVMM_RETURN_IF_ERROR(CheckTraits(traits));
  if (options.lane_doorbells.size() > traits.lanes) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioFrontEnd::Options.lane_doorbells has ",
                     options.lane_doorbells.size(),
                     " elements: the device has ", traits.lanes, " lanes"));
  }
  std::vector<VirtioDoorbell> doorbells = std::move(options.lane_doorbells);
  doorbells.resize(traits.lanes, options.doorbell);
  std::unique_ptr<VirtioFrontEnd> front_end(
      new VirtioFrontEnd(device, memory, clock, std::move(options)));
  for (uint16_t i = 0; i < traits.lanes; ++i) {
    Lane& lane = *front_end->lanes_.emplace_back(std::make_unique<Lane>());
    lane.index = i;
    lane.doorbell = doorbells[i];
    if (lane.doorbell == VirtioDoorbell::kEventFd) {
      LIBVMM_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
      lane.source =
          std::make_unique<LaneSource>(*front_end, lane, std::move(event));
    }
  }
  for (size_t i = 0; i < traits.queues.size(); ++i) {
    Lane& lane = *front_end->lanes_[traits.queues[i].lane];
    lane.queues.push_back(static_cast<uint16_t>(i));
    front_end->queue_lanes_.push_back(&lane);
  }
  return front_end;
}

VirtioFrontEnd::VirtioFrontEnd(VirtioDevice& device, GuestMemory& memory,
                               const Clock& clock, Options options)
    : device_(device),
      traits_(device.traits()),
      memory_(memory),
      clock_(clock),
      offered_(traits_.features | kVersion1),
      deadline_moved_(std::move(options.deadline_moved)),
      link_(std::make_unique<Link>(*this)),
      rings_(traits_.queues.size()),
      queues_(traits_.queues.size()) {
  if (options.packed) offered_ |= kRingPacked;
  if (options.event_index) offered_ |= kEventIndex;
  if (options.indirect) offered_ |= kIndirectDescriptors;
  {
    MutexLock lock(mutex_);
    ResetLocked();
  }
  MutexLock lock(config_mutex_);
  config_.fill(std::byte{0});
  device_.ReadConfig(0, std::span(config_).first(traits_.config_size));
}

VirtioFrontEnd::~VirtioFrontEnd() { Reset(); }

// ---- Running the device -----------------------------------------------------

bool VirtioFrontEnd::active() const {
  const uint8_t status = ReadStatus();
  return (status & kStatusDriverOk) != 0 && (status & kStatusNeedsReset) == 0;
}

uint16_t VirtioFrontEnd::lane_count() const {
  return static_cast<uint16_t>(lanes_.size());
}

EventSource* VirtioFrontEnd::lane_source(uint16_t lane) {
  return lane < lanes_.size() ? lanes_[lane]->source.get() : nullptr;
}

const EventFd* VirtioFrontEnd::queue_doorbell(uint16_t queue) const {
  if (queue >= queue_count()) return nullptr;
  const LaneSource* const source = queue_lanes_[queue]->source.get();
  return source == nullptr ? nullptr : &source->event();
}

VirtioDoorbell VirtioFrontEnd::doorbell(uint16_t queue) const {
  return queue < queue_count() ? queue_lanes_[queue]->doorbell
                               : VirtioDoorbell::kInline;
}

void VirtioFrontEnd::Poll(uint16_t lane) {
  if (lane < lanes_.size()) Run(*lanes_[lane]);
}

void VirtioFrontEnd::Notify(uint32_t queue) {
  if (queue >= queue_lanes_.size()) return;
  Lane& lane = *queue_lanes_[queue];
  switch (lane.doorbell) {
    case VirtioDoorbell::kInline:
      return Run(lane);
    case VirtioDoorbell::kEventFd:
      return lane.source->event().Signal();
    case VirtioDoorbell::kPoll:
      return;
  }
}

void VirtioFrontEnd::Run(Lane& lane) {
  if (!lane.gate.Enter()) return;
  for (int round = 1;; ++round) {
    ServeRound(lane);
    if (round == kRounds) {
      if (lane.gate.Yield()) HandOver(lane);
      return;
    }
    if (lane.gate.Leave()) return;
  }
}

void VirtioFrontEnd::ServeRound(Lane& lane) {
  if ((status_.load(std::memory_order_acquire) & kStatusNeedsReset) != 0) {
    return;
  }
  if (const uint64_t generation = memory_.generation();
      generation != lane.map_generation) {
    lane.map_generation = generation;
    for (const uint16_t queue : lane.queues) {
      std::optional<Virtqueue>& ring = rings_[queue];
      if (ring.has_value() && !ring->Refresh()) return Fail();
    }
  }
  device_.Serve(lane.index);
}

void VirtioFrontEnd::HandOver(Lane& lane) {
  if (lane.source != nullptr) return lane.source->event().Signal();
  // As soon as the clock has moved at all: a deadline is later than now when
  // OnDeadline has returned.
  MoveDeadline(lane.left_over,
               ToMoment(clock_.Monotonic() + absl::Nanoseconds(1)));
}

int64_t VirtioFrontEnd::NextMoment() const {
  int64_t next = kNever;
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    next = std::min({next, lane->deadline.load(), lane->left_over.load()});
  }
  return next;
}

absl::Duration VirtioFrontEnd::NextDeadline() const {
  const int64_t next = NextMoment();
  return next == kNever ? absl::InfiniteDuration() : absl::Nanoseconds(next);
}

void VirtioFrontEnd::MoveDeadline(std::atomic<int64_t>& deadline,
                                  int64_t when) {
  // First the store, then the look at the others, all sequentially consistent:
  // a loop that takes another one's deadline meanwhile is seen here to have
  // none, or sees this one when it asks for the next.
  const int64_t before = deadline.exchange(when);
  if (when < before && when <= NextMoment() && deadline_moved_ != nullptr) {
    deadline_moved_();
  }
}

void VirtioFrontEnd::OnDeadline() {
  const int64_t now = absl::ToInt64Nanoseconds(clock_.Monotonic());
  // Each time from another one on, since lanes that wait for a limit that they
  // share are due at the same moment, and the first takes what there is.
  const size_t count = lanes_.size();
  const size_t first = first_due_.fetch_add(1, std::memory_order_relaxed);
  for (size_t i = 0; i < count; ++i) {
    const std::unique_ptr<Lane>& lane = lanes_[(first + i) % count];
    bool due = false;
    for (std::atomic<int64_t>* const deadline :
         {&lane->deadline, &lane->left_over}) {
      int64_t when = deadline->load();
      // Where it was moved meanwhile the new one counts, and comes.
      if (when <= now && deadline->compare_exchange_strong(when, kNever)) {
        due = true;
      }
    }
    if (due) Run(*lane);
  }
}

void VirtioFrontEnd::SetInterrupts(VirtioInterrupts* interrupts) {
  interrupts_.store(interrupts, std::memory_order_release);
}

void VirtioFrontEnd::Interrupt(uint16_t queue) {
  if (VirtioInterrupts* const interrupts =
          interrupts_.load(std::memory_order_acquire)) {
    interrupts->QueueInterrupt(queue);
  }
}

void VirtioFrontEnd::ConfigInterrupt() {
  if (VirtioInterrupts* const interrupts =
          interrupts_.load(std::memory_order_acquire)) {
    interrupts->ConfigInterrupt();
  }
}

// Section 2.1.2: the driver is told if it is ready. If it is not yet, the write
// of DRIVER_OK tells it.
void VirtioFrontEnd::Fail() {
  const uint8_t before =
      status_.fetch_or(kStatusNeedsReset, std::memory_order_acq_rel);
  if ((before & kStatusNeedsReset) == 0 && (before & kStatusDriverOk) != 0) {
    ConfigInterrupt();
  }
}

// ---- Status -----------------------------------------------------------------

uint8_t VirtioFrontEnd::ReadStatus() const {
  return status_.load(std::memory_order_acquire);
}

void VirtioFrontEnd::Reset() {
  MutexLock lock(mutex_);
  ResetLocked();
}

void VirtioFrontEnd::ResetLocked() {
  StopLocked();
  if (VirtioInterrupts* const interrupts =
          interrupts_.load(std::memory_order_acquire)) {
    interrupts->ResetInterrupts();
  }
  // Last: this is what tells the driver that the reset is complete.
  status_.store(0, std::memory_order_release);
}

void VirtioFrontEnd::StopLocked() {
  for (const std::unique_ptr<Lane>& lane : lanes_) lane->gate.Close();
  if (activated_) device_.Reset();
  activated_ = false;
  for (std::optional<Virtqueue>& ring : rings_) ring.reset();
  negotiated_ = 0;
  driver_features_ = 0;
  for (size_t i = 0; i < queues_.size(); ++i) {
    queues_[i] = {.size = traits_.queues[i].max_size};
  }
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    lane->deadline.store(kNever, std::memory_order_release);
    lane->left_over.store(kNever, std::memory_order_release);
  }
}

bool VirtioFrontEnd::Fits(uint64_t features) const {
  return (features & ~offered_) == 0 && (features & kVersion1) != 0;
}

void VirtioFrontEnd::WriteStatus(uint8_t value) {
  bool failed = false;
  {
    MutexLock lock(mutex_);
    if (value == 0) return ResetLocked();
    const uint8_t before = ReadStatus();
    uint8_t after = before | (value & (kStatusAcknowledge | kStatusFailed));
    if ((after & kStatusAcknowledge) != 0) after |= value & kStatusDriver;
    if ((after & kStatusDriver) != 0 && Fits(driver_features_)) {
      after |= value & kStatusFeaturesOk;
    }
    status_.fetch_or(after, std::memory_order_acq_rel);
    const bool begins =
        (value & kStatusDriverOk) != 0 && (before & kStatusDriverOk) == 0 &&
        (after & kStatusFeaturesOk) != 0 && (after & kStatusFailed) == 0;
    if (!begins) return;
    if (!MakeRings() || !ActivateDevice()) status_.fetch_or(kStatusNeedsReset);
    // Only now is the driver told of a failure so far: see Fail.
    failed = (status_.fetch_or(kStatusDriverOk, std::memory_order_acq_rel) &
              kStatusNeedsReset) != 0;
    if (!failed) OpenLanes();
  }
  if (failed) return ConfigInterrupt();
  ServeAll();
}

void VirtioFrontEnd::OpenLanes() {
  for (const std::unique_ptr<Lane>& lane : lanes_) lane->gate.Open();
}

void VirtioFrontEnd::ServeAll() {
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (lane->source != nullptr) {
      lane->source->event().Signal();
    } else {
      Run(*lane);
    }
  }
}

bool VirtioFrontEnd::MakeRings() {
  const uint64_t generation = memory_.generation();
  for (uint16_t i = 0; i < queue_count(); ++i) {
    if (!queues_[i].enabled) continue;
    if (queues_[i].size > traits_.queues[i].max_size) return false;
    rings_[i] = Virtqueue::Create(memory_, ConfigOf(i));
    if (!rings_[i].has_value()) return false;
  }
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    lane->map_generation = generation;
  }
  return true;
}

bool VirtioFrontEnd::ActivateDevice() {
  negotiated_ = driver_features_;
  activated_ = true;
  return device_.Activate(*link_);
}

// ---- State ------------------------------------------------------------------

VirtioFrontEndState VirtioFrontEnd::Save() {
  MutexLock lock(mutex_);
  VirtioFrontEndState state{
      .status = ReadStatus(),
      .driver_features = driver_features_,
      .config_generation = generation_.load(std::memory_order_acquire)};
  for (size_t i = 0; i < queues_.size(); ++i) {
    const QueueRegisters& registers = queues_[i];
    VirtioFrontEndState::Queue& queue = state.queues.emplace_back();
    queue.size = registers.size;
    queue.descriptors = registers.descriptors;
    queue.driver = registers.driver;
    queue.device = registers.device;
    queue.enabled = registers.enabled;
    if (active() && rings_[i].has_value()) queue.ring = rings_[i]->Save();
  }
  return state;
}

absl::Status VirtioFrontEnd::Validate(const VirtioFrontEndState& state) const {
  const auto bad = [](absl::string_view text) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioFrontEndState.", text));
  };
  const auto has = [&state](uint8_t bit) { return (state.status & bit) != 0; };
  constexpr uint8_t kKnown = kStatusAcknowledge | kStatusDriver |
                             kStatusFeaturesOk | kStatusDriverOk |
                             kStatusFailed | kStatusNeedsReset;
  if ((state.status & ~kKnown) != 0 ||
      (has(kStatusDriver) && !has(kStatusAcknowledge)) ||
      (has(kStatusFeaturesOk) && !has(kStatusDriver)) ||
      (has(kStatusDriverOk) && !has(kStatusFeaturesOk)) ||
      (has(kStatusNeedsReset) && !has(kStatusDriverOk))) {
    return bad(absl::StrCat("status is 0x", absl::Hex(state.status),
                            ": no driver sets bits in that order"));
  }
  if (has(kStatusFeaturesOk) && !Fits(state.driver_features)) {
    return bad(absl::StrCat("driver_features is 0x",
                            absl::Hex(state.driver_features), ": 0x",
                            absl::Hex(offered_), " is offered"));
  }
  if (state.queues.size() != queue_count()) {
    return bad(absl::StrCat("queues has ", state.queues.size(),
                            " elements: the device has ", queue_count(),
                            " queues"));
  }
  const bool runs = has(kStatusDriverOk) && !has(kStatusNeedsReset);
  for (size_t i = 0; i < state.queues.size(); ++i) {
    const VirtioFrontEndState::Queue& queue = state.queues[i];
    const std::string field = absl::StrCat("queues[", i, "].");
    if (queue.enabled && !has(kStatusFeaturesOk)) {
      return bad(absl::StrCat(field, "enabled is 1: status is 0x",
                              absl::Hex(state.status)));
    }
    if (queue.ring.has_value() != (queue.enabled && runs)) {
      return bad(absl::StrCat(field, "ring is ",
                              queue.ring.has_value() ? "" : "not ",
                              "there: enabled is ", queue.enabled,
                              ", status is 0x", absl::Hex(state.status)));
    }
  }
  return absl::OkStatus();
}

absl::Status VirtioFrontEnd::Restore(const VirtioFrontEndState& state) {
  LIBVMM_RETURN_IF_ERROR(Validate(state));
  {
    MutexLock lock(mutex_);
    if (absl::Status status = RestoreLocked(state); !status.ok()) {
      ResetLocked();
      return status;
    }
  }
  if (active()) {
    ServeAll();
  } else if (((ReadStatus() & ~state.status) & kStatusNeedsReset) != 0) {
    ConfigInterrupt();
  }
  return absl::OkStatus();
}

absl::Status VirtioFrontEnd::RestoreLocked(const VirtioFrontEndState& state) {
  StopLocked();
  status_.store(0, std::memory_order_release);
  driver_features_ = state.driver_features;
  generation_.store(state.config_generation, std::memory_order_release);
  for (size_t i = 0; i < queues_.size(); ++i) {
    const VirtioFrontEndState::Queue& queue = state.queues[i];
    queues_[i] = {.size = queue.size,
                  .descriptors = queue.descriptors,
                  .driver = queue.driver,
                  .device = queue.device,
                  .enabled = queue.enabled};
  }
  const bool runs = (state.status & kStatusDriverOk) != 0 &&
                    (state.status & kStatusNeedsReset) == 0;
  if (runs) {
    if (!MakeRings()) {
      return absl::InvalidArgumentError(
          "VirtioFrontEndState.queues: a ring cannot be of this size, or is "
          "not in this memory");
    }
    for (size_t i = 0; i < queues_.size(); ++i) {
      if (!rings_[i].has_value()) continue;
      LIBVMM_RETURN_IF_ERROR(rings_[i]->Restore(*state.queues[i].ring));
    }
    if (!ActivateDevice()) {
      return absl::InvalidArgumentError(
          "VirtioFrontEndState: the device cannot work with what the driver "
          "has set up");
    }
  }
  // A device that failed as it was activated has said so by now.
  status_.fetch_or(state.status, std::memory_order_acq_rel);
  if (runs) OpenLanes();
  return absl::OkStatus();
}

// ---- Features ---------------------------------------------------------------

uint32_t VirtioFrontEnd::DeviceFeatures(uint32_t select) const {
  if (select > 1) return 0;
  return static_cast<uint32_t>(offered_ >> (kHalfBits * select));
}

uint32_t VirtioFrontEnd::DriverFeatures(uint32_t select) const {
  if (select > 1) return 0;
  MutexLock lock(mutex_);
  return static_cast<uint32_t>(driver_features_ >> (kHalfBits * select));
}

void VirtioFrontEnd::WriteDriverFeatures(uint32_t select, uint32_t value) {
  if (select > 1) return;
  MutexLock lock(mutex_);
  if ((ReadStatus() & kStatusFeaturesOk) != 0) return;
  const unsigned shift = kHalfBits * select;
  driver_features_ = (driver_features_ & ~(kLowHalf << shift)) | uint64_t{value}
                                                                     << shift;
}

// ---- Configuration ----------------------------------------------------------

void VirtioFrontEnd::RefreshConfig() {
  std::array<std::byte, kMaxConfigSize> now;
  const size_t size = traits_.config_size;
  // At once, so that the device gives what was there at one moment.
  device_.ReadConfig(0, std::span(now).first(size));
  if (std::memcmp(now.data(), config_.data(), size) == 0) return;
  std::copy_n(now.begin(), size, config_.begin());
  generation_.fetch_add(1, std::memory_order_acq_rel);
}

void VirtioFrontEnd::ReadConfig(uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, std::byte{0});
  if (offset >= traits_.config_size) return;
  MutexLock lock(config_mutex_);
  RefreshConfig();
  std::copy_n(config_.begin() + static_cast<ptrdiff_t>(offset),
              std::min<uint64_t>(data.size(), traits_.config_size - offset),
              data.begin());
}

void VirtioFrontEnd::WriteConfig(uint64_t offset,
                                 std::span<const std::byte> data) {
  if (offset >= traits_.config_size) return;
  device_.WriteConfig(static_cast<uint32_t>(offset),
                      data.first(std::min<uint64_t>(
                          data.size(), traits_.config_size - offset)));
}

uint32_t VirtioFrontEnd::config_generation() {
  MutexLock lock(config_mutex_);
  RefreshConfig();
  return generation_.load(std::memory_order_acquire);
}

// ---- Queues -----------------------------------------------------------------

uint16_t VirtioFrontEnd::queue_count() const {
  return static_cast<uint16_t>(traits_.queues.size());
}

uint16_t VirtioFrontEnd::MaxQueueSize(uint16_t queue) const {
  return queue < queue_count() ? traits_.queues[queue].max_size : 0;
}

VirtqueueConfig VirtioFrontEnd::ConfigOf(uint16_t queue) const {
  const QueueRegisters& registers = queues_[queue];
  const uint64_t features = driver_features_;
  const auto negotiated = [features](uint64_t feature) {
    return (features & feature) != 0;
  };
  return {.size = registers.size,
          .descriptors = registers.descriptors,
          .driver = registers.driver,
          .device = registers.device,
          .packed = negotiated(kRingPacked),
          .indirect = negotiated(kIndirectDescriptors),
          .event_index = negotiated(kEventIndex),
          .in_order = negotiated(kInOrder),
          .polled = doorbell(queue) == VirtioDoorbell::kPoll};
}

VirtqueueConfig VirtioFrontEnd::QueueConfig(uint16_t queue) const {
  if (queue >= queue_count()) return {};
  MutexLock lock(mutex_);
  return ConfigOf(queue);
}

bool VirtioFrontEnd::QueueEnabled(uint16_t queue) const {
  if (queue >= queue_count()) return false;
  MutexLock lock(mutex_);
  return queues_[queue].enabled;
}

VirtioFrontEnd::QueueRegisters* VirtioFrontEnd::WritableQueue(uint16_t queue) {
  const uint8_t status = ReadStatus();
  if (queue >= queue_count() || (status & kStatusFeaturesOk) == 0 ||
      (status & kStatusDriverOk) != 0) {
    return nullptr;
  }
  return &queues_[queue];
}

void VirtioFrontEnd::SetQueueSize(uint16_t queue, uint16_t size) {
  MutexLock lock(mutex_);
  QueueRegisters* const registers = WritableQueue(queue);
  if (registers == nullptr || registers->enabled) return;
  registers->size = size;
}

void VirtioFrontEnd::SetQueueArea(uint16_t queue, Area area, bool high,
                                  uint32_t value) {
  MutexLock lock(mutex_);
  QueueRegisters* const registers = WritableQueue(queue);
  if (registers == nullptr || registers->enabled) return;
  Gpa& address = area == Area::kDescriptors ? registers->descriptors
                 : area == Area::kDriver    ? registers->driver
                                            : registers->device;
  const unsigned shift = high ? kHalfBits : 0;
  address =
      Gpa((address.value() & ~(kLowHalf << shift)) | uint64_t{value} << shift);
}

void VirtioFrontEnd::EnableQueue(uint16_t queue) {
  MutexLock lock(mutex_);
  QueueRegisters* const registers = WritableQueue(queue);
  if (registers != nullptr) registers->enabled = true;
}

void VirtioFrontEnd::DisableQueue(uint16_t queue) {
  MutexLock lock(mutex_);
  QueueRegisters* const registers = WritableQueue(queue);
  if (registers != nullptr) registers->enabled = false;
}

}  // namespace libvmm
