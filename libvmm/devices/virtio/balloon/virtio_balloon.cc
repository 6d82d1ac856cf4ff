// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/balloon/virtio_balloon.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/address.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"

namespace libvmm {

using namespace virtio::balloon;  // NOLINT: the specification's names.

namespace {

constexpr uint16_t kLane = 0;
constexpr uint16_t kMaxQueueSize = 32768;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

int64_t IntervalOf(absl::Duration interval) {
  if (interval <= absl::ZeroDuration()) return kNever;
  return std::max(absl::ToInt64Nanoseconds(interval), int64_t{1});
}

uint64_t FeaturesOf(const VirtioBalloon::Options& options) {
  uint64_t features = virtio::kInOrder;
  if (options.must_tell_host) features |= kMustTellHost;
  if (options.statistics) features |= kStatisticsQueue;
  if (options.deflate_on_oom) features |= kDeflateOnOom;
  // Without page poison a guest that fills free pages could not report them.
  if (options.page_reporting) features |= kPageReporting | kPagePoison;
  return features;
}

// Replaces the bytes of `value` that an access at `offset` covers, where `value`
// is at `place`.
uint32_t Overwrite(uint32_t value, Register place, uint32_t offset,
                   std::span<const std::byte> data) {
  std::array<std::byte, sizeof(value)> bytes;
  StoreLittleEndian(bytes, value);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const uint64_t at = static_cast<uint32_t>(place) + i;
    if (at >= offset && at - offset < data.size()) bytes[i] = data[at - offset];
  }
  return static_cast<uint32_t>(LoadLittleEndian(bytes));
}

}  // namespace

absl::StatusOr<std::unique_ptr<VirtioBalloon>> VirtioBalloon::Create(
    Options options) {
  if (!std::has_single_bit(options.queue_size) ||
      options.queue_size > kMaxQueueSize) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioBalloon::Options.queue_size is ", options.queue_size,
        ": a power of two up to ", kMaxQueueSize, " can be"));
  }
  if (options.statistics_interval <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioBalloon::Options.statistics_interval is ",
        absl::FormatDuration(options.statistics_interval), ": not positive"));
  }
  return std::unique_ptr<VirtioBalloon>(new VirtioBalloon(std::move(options)));
}

VirtioBalloon::VirtioBalloon(Options options)
    : options_(std::move(options)),
      releaser_(options_.releaser != nullptr ? *options_.releaser
                                             : host_releaser_),
      traits_{
          .id = VirtioDeviceId::kBalloon,
          .features = FeaturesOf(options_),
          .queues = std::vector<Queue>(
              kQueueCount, {.max_size = options_.queue_size, .lane = kLane}),
          .config_size = kConfigSize},
      target_(options_.target_pages),
      interval_(IntervalOf(options_.statistics_interval)) {}

void VirtioBalloon::SetTargetPages(uint32_t pages) {
  if (target_.exchange(pages) != pages) slot_.ConfigChanged();
}

void VirtioBalloon::RequestStatistics() {
  requested_ = true;
  slot_.Wake(kLane);
}

void VirtioBalloon::SetStatisticsInterval(absl::Duration interval) {
  interval_ = IntervalOf(interval);
  interval_changed_ = true;
  slot_.Wake(kLane);
}

VirtioBalloon::Totals VirtioBalloon::totals() const {
  return {.released = released_, .kept = kept_};
}

void VirtioBalloon::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  std::array<std::byte, kConfigSize> config{};
  const auto put = [&config](Register place, uint32_t value) {
    StoreLittleEndian(
        std::span(config).subspan(static_cast<uint32_t>(place), sizeof(value)),
        value);
  };
  put(Register::kPages, target_);
  put(Register::kActual, actual_);
  put(Register::kPoison, poison_);
  for (size_t i = 0; i < data.size(); ++i) {
    const uint64_t at = uint64_t{offset} + i;
    data[i] = at < config.size() ? config[at] : std::byte{0};
  }
}

void VirtioBalloon::WriteConfig(uint32_t offset,
                                std::span<const std::byte> data) {
  const auto write = [&](std::atomic<uint32_t>& value, Register place) {
    uint32_t before = value;
    uint32_t after;
    do {
      after = Overwrite(before, place, offset, data);
    } while (after != before && !value.compare_exchange_weak(before, after));
    return after != before;
  };
  write(poison_, Register::kPoison);
  if (write(actual_, Register::kActual) && options_.actual_changed != nullptr) {
    options_.actual_changed(actual_);
  }
}

bool VirtioBalloon::Activate(VirtioLink& link) {
  if (link.queue(kInflateQueue) == nullptr ||
      link.queue(kDeflateQueue) == nullptr) {
    return false;
  }
  const bool statistics = (link.features() & kStatisticsQueue) != 0;
  const bool reporting = (link.features() & kPageReporting) != 0;
  if (statistics) statistics_queue_ = kStatisticsQueueNumber;
  if (reporting) {
    // A driver that leaves no numbers out has its queue at its own.
    if (link.queue(kReportingQueue) != nullptr) {
      reporting_queue_ = kReportingQueue;
    } else {
      reporting_queue_ =
          statistics ? kStatisticsQueueNumber + 1 : kStatisticsQueueNumber;
    }
  }
  link_ = &link;
  next_poll_ = absl::InfiniteDuration();
  interval_changed_ = true;
  slot_.Set(link);
  return true;
}

void VirtioBalloon::Serve(uint16_t lane) {
  budget_ = kServePages;
  ServeQueue(*link_, kInflateQueue, lane, chain_,
             [this](const DescriptorChain& chain) { return Inflate(chain); });
  // Pages that leave the balloon are there when they are touched.
  ServeQueue(*link_, kDeflateQueue, lane, chain_,
             [this](const DescriptorChain& chain) {
               link_->queue(kDeflateQueue)->Push(chain.token(), 0);
               return ChainResult::kTaken;
             });
  if (reporting_queue_.has_value()) {
    ServeQueue(*link_, *reporting_queue_, lane, chain_,
               [this](const DescriptorChain& chain) { return Report(chain); });
  }
  if (statistics_queue_.has_value()) {
    ServeQueue(
        *link_, *statistics_queue_, lane, chain_,
        [this](const DescriptorChain& chain) { return TakeStatistics(chain); });
    AskForStatistics();
  }
}

ChainResult VirtioBalloon::Inflate(const DescriptorChain& chain) {
  ChainReader reader(chain.readable());
  reader.Skip(inflated_);
  while (reader.remaining() >= sizeof(PageNumber)) {
    if (budget_ == 0) {
      link_->Wake(kLane);
      return ChainResult::kLater;
    }
    const auto pages = std::span(pages_).first(
        std::min<uint64_t>(budget_, reader.remaining() / sizeof(PageNumber)));
    if (!reader.Read(std::as_writable_bytes(pages))) break;
    budget_ -= pages.size();
    inflated_ += pages.size_bytes();
    ReleaseRuns(pages);
  }
  inflated_ = 0;
  link_->queue(kInflateQueue)->Push(chain.token(), 0);
  return ChainResult::kTaken;
}

void VirtioBalloon::ReleaseRuns(std::span<PageNumber> pages) {
  std::sort(pages.begin(), pages.end());
  for (size_t first = 0; first < pages.size();) {
    uint64_t end = uint64_t{pages[first]} + 1;
    size_t next = first + 1;
    while (next < pages.size() && pages[next] <= end) {
      end = uint64_t{pages[next]} + 1;
      ++next;
    }
    Release({Gpa(uint64_t{pages[first]} << kPageShift), (end - pages[first])
                                                            << kPageShift});
    first = next;
  }
}

void VirtioBalloon::Release(GpaRange range) {
  const uint64_t released =
      std::min(releaser_.Release(link_->memory(), range), range.size);
  released_ += released;
  kept_ += range.size - released;
}

ChainResult VirtioBalloon::Report(const DescriptorChain& chain) {
  if (budget_ == 0) {
    link_->Wake(kLane);
    return ChainResult::kLater;
  }
  budget_ -= std::min(budget_, chain.writable().size());
  const bool poisoned = (link_->features() & kPagePoison) != 0 && poison_ != 0;
  for (const ChainSegment& segment : chain.writable()) {
    if (poisoned) {
      kept_ += segment.size;
    } else {
      Release({segment.gpa, segment.size});
    }
  }
  link_->queue(*reporting_queue_)->Push(chain.token(), 0);
  return ChainResult::kTaken;
}

ChainResult VirtioBalloon::TakeStatistics(const DescriptorChain& chain) {
  // A second buffer, which the driver must not give: it gets the first back.
  if (statistics_buffer_.has_value()) {
    link_->queue(*statistics_queue_)->Push(*statistics_buffer_, 0);
  }
  statistics_buffer_ = chain.token();
  std::array<std::byte, kMaxStatisticsBytes> bytes;
  ChainReader reader(chain.readable());
  const size_t size = reader.ReadSome(bytes);
  if (options_.on_statistics != nullptr) {
    options_.on_statistics(
        ParseBalloonStatistics(std::span(bytes).first(size)));
  }
  return ChainResult::kTaken;
}

void VirtioBalloon::AskForStatistics() {
  const absl::Duration now = link_->clock().Monotonic();
  // Before the interval itself: a change that comes in between is noted again.
  const bool changed = interval_changed_.exchange(false);
  const int64_t nanoseconds = interval_;
  const absl::Duration interval = nanoseconds == kNever
                                      ? absl::InfiniteDuration()
                                      : absl::Nanoseconds(nanoseconds);
  if (changed) next_poll_ = now + interval;
  bool due = requested_.exchange(false);
  if (now >= next_poll_) {
    due = true;
    next_poll_ = now + interval;
  }
  link_->SetDeadline(kLane, next_poll_);
  // Without a buffer the driver is at it already.
  if (!due || !statistics_buffer_.has_value()) return;
  Virtqueue* const queue = link_->queue(*statistics_queue_);
  if (queue == nullptr) return;
  queue->Push(*std::exchange(statistics_buffer_, std::nullopt), 0);
  if (queue->Publish()) link_->Interrupt(*statistics_queue_);
}

void VirtioBalloon::Reset() {
  slot_.Clear();
  link_ = nullptr;
  statistics_queue_.reset();
  reporting_queue_.reset();
  statistics_buffer_.reset();
  requested_ = false;
  inflated_ = 0;
  actual_ = 0;
  poison_ = 0;
}

}  // namespace libvmm
