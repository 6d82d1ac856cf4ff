// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_PROTOCOL_H_
#define LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_PROTOCOL_H_

#include <cstddef>
#include <cstdint>

// What a block device and its driver exchange (virtio 1.2, section 5.2). All
// numbers are little-endian.
namespace libvmm::virtio::block {

// ---- Feature bits, as masks (section 5.2.3) --------------------------------

inline constexpr uint64_t kSegmentMax = uint64_t{1} << 2;
inline constexpr uint64_t kReadOnly = uint64_t{1} << 5;
inline constexpr uint64_t kBlockSize = uint64_t{1} << 6;
inline constexpr uint64_t kFlush = uint64_t{1} << 9;
inline constexpr uint64_t kTopology = uint64_t{1} << 10;
inline constexpr uint64_t kConfigWriteback = uint64_t{1} << 11;
inline constexpr uint64_t kMultiQueue = uint64_t{1} << 12;
inline constexpr uint64_t kDiscard = uint64_t{1} << 13;
inline constexpr uint64_t kWriteZeroes = uint64_t{1} << 14;

// ---- Configuration (section 5.2.4) -----------------------------------------

// Everything counts in these, whatever the block size is.
inline constexpr uint64_t kSectorSize = 512;

struct Config {
  uint64_t capacity = 0;  // In sectors.
  uint32_t size_max = 0;
  uint32_t segment_max = 0;
  uint16_t cylinders = 0;
  uint8_t heads = 0;
  uint8_t sectors = 0;
  uint32_t block_size = 0;
  uint8_t physical_block_exponent = 0;
  uint8_t alignment_offset = 0;
  uint16_t min_io_size = 0;  // In blocks, as the next one.
  uint32_t optimal_io_size = 0;
  uint8_t writeback = 0;
  uint8_t unused0 = 0;
  uint16_t queues = 0;
  uint32_t max_discard_sectors = 0;
  uint32_t max_discard_segments = 0;
  uint32_t discard_sector_alignment = 0;
  uint32_t max_write_zeroes_sectors = 0;
  uint32_t max_write_zeroes_segments = 0;
  uint8_t write_zeroes_may_unmap = 0;
  uint8_t unused1[3] = {};
};
static_assert(sizeof(Config) == 64);
static_assert(offsetof(Config, block_size) == 20);
static_assert(offsetof(Config, writeback) == 32);
static_assert(offsetof(Config, max_discard_sectors) == 36);
static_assert(offsetof(Config, write_zeroes_may_unmap) == 56);

// The bytes of it that a device has; what follows is padding.
inline constexpr uint32_t kConfigSize = 60;

// ---- Requests (section 5.2.6) ----------------------------------------------

// Device-readable, before the data.
struct RequestHeader {
  uint32_t type = 0;
  uint32_t reserved = 0;
  uint64_t sector = 0;
};
static_assert(sizeof(RequestHeader) == 16);

inline constexpr uint32_t kIn = 0;
inline constexpr uint32_t kOut = 1;
inline constexpr uint32_t kFlushRequest = 4;
inline constexpr uint32_t kGetId = 8;
inline constexpr uint32_t kDiscardRequest = 11;
inline constexpr uint32_t kWriteZeroesRequest = 13;

// The data of discard and write zeroes: one or more of these.
struct Range {
  uint64_t sector = 0;
  uint32_t sectors = 0;
  uint32_t flags = 0;
};
static_assert(sizeof(Range) == 16);

// Range::flags: write zeroes may deallocate.
inline constexpr uint32_t kUnmap = 1;

// The data of get id: a string, filled with zeroes, without one if it is full.
inline constexpr size_t kIdSize = 20;

// The last device-writable byte.
inline constexpr uint8_t kOk = 0;
inline constexpr uint8_t kIoError = 1;
inline constexpr uint8_t kUnsupported = 2;

}  // namespace libvmm::virtio::block

#endif  // LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_PROTOCOL_H_
