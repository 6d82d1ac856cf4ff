// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_FUSE_PROTOCOL_H_
#define LIBVMM_DEVICES_VIRTIO_FS_FUSE_PROTOCOL_H_

// The messages of FUSE, version 7.38, as far as a server of files speaks them:
// Linux's <linux/fuse.h> is their definition, and virtio 1.2, section 5.11.6,
// says that they travel in the buffers of a virtqueue as they are. Little-endian
// as an x86 guest has them. For the server and tests.

#include <cstdint>

namespace libvmm::fuse {

// What is spoken here, and the oldest minor version that virtiofs guests have.
inline constexpr uint32_t kMajor = 7;
inline constexpr uint32_t kMinor = 38;
inline constexpr uint32_t kOldestMinor = 31;

// The root directory's node.
inline constexpr uint64_t kRootNode = 1;

enum class Opcode : uint32_t {
  kLookup = 1,
  kForget = 2,  // No reply.
  kGetAttributes = 3,
  kSetAttributes = 4,
  kReadLink = 5,
  kSymlink = 6,
  kMakeNode = 8,
  kMakeDirectory = 9,
  kUnlink = 10,
  kRemoveDirectory = 11,
  kRename = 12,
  kLink = 13,
  kOpen = 14,
  kRead = 15,
  kWrite = 16,
  kStatFileSystem = 17,
  kRelease = 18,
  kSync = 20,
  kSetXattr = 21,
  kGetXattr = 22,
  kListXattr = 23,
  kRemoveXattr = 24,
  kFlush = 25,
  kInit = 26,
  kOpenDirectory = 27,
  kReadDirectory = 28,
  kReleaseDirectory = 29,
  kSyncDirectory = 30,
  kGetLock = 31,
  kSetLock = 32,
  kSetLockWait = 33,
  kAccess = 34,
  kCreate = 35,
  kInterrupt = 36,  // No reply.
  kBlockMap = 37,
  kDestroy = 38,
  kIoctl = 39,
  kPoll = 40,
  kNotifyReply = 41,
  kBatchForget = 42,  // No reply.
  kAllocate = 43,
  kReadDirectoryPlus = 44,
  kRename2 = 45,
  kSeek = 46,
  kCopyFileRange = 47,
  kSetUpMapping = 48,
  kRemoveMapping = 49,
  kSyncFileSystem = 50,
  kTemporaryFile = 51,
};

// ---- Headers ----------------------------------------------------------------

struct InHeader {
  uint32_t length = 0;  // Of the whole message.
  uint32_t opcode = 0;
  uint64_t unique = 0;  // Comes back in the reply.
  uint64_t node = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t pid = 0;
  uint16_t extension_length = 0;  // In units of 8 bytes, at the end.
  uint16_t padding = 0;
};
static_assert(sizeof(InHeader) == 40);

struct OutHeader {
  uint32_t length = 0;
  int32_t error = 0;  // Zero, or an errno with its sign turned.
  uint64_t unique = 0;
};
static_assert(sizeof(OutHeader) == 16);

// ---- Parts of several messages ------------------------------------------------

struct Attributes {
  uint64_t inode = 0;
  uint64_t size = 0;
  uint64_t blocks = 0;  // Of 512 bytes.
  uint64_t access_time = 0;
  uint64_t modify_time = 0;
  uint64_t change_time = 0;
  uint32_t access_nanoseconds = 0;
  uint32_t modify_nanoseconds = 0;
  uint32_t change_nanoseconds = 0;
  uint32_t mode = 0;
  uint32_t links = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t device = 0;
  uint32_t block_size = 0;
  uint32_t flags = 0;
};
static_assert(sizeof(Attributes) == 88);

struct EntryOut {
  uint64_t node = 0;  // Zero: there is no such name, and that may be cached.
  uint64_t generation = 0;
  uint64_t entry_valid = 0;  // Seconds.
  uint64_t attributes_valid = 0;
  uint32_t entry_valid_nanoseconds = 0;
  uint32_t attributes_valid_nanoseconds = 0;
  Attributes attributes = {};
};
static_assert(sizeof(EntryOut) == 128);

// ---- Session ------------------------------------------------------------------

struct InitIn {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t max_readahead = 0;
  uint32_t flags = 0;
  // Further fields follow from 7.36 on.
};
static_assert(sizeof(InitIn) == 16);

struct InitOut {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t max_readahead = 0;
  uint32_t flags = 0;
  uint16_t max_background = 0;
  uint16_t congestion_threshold = 0;
  uint32_t max_write = 0;
  uint32_t time_granularity = 0;  // Nanoseconds.
  uint16_t max_pages = 0;
  uint16_t map_alignment = 0;
  uint32_t flags2 = 0;
  uint32_t unused[7] = {};
};
static_assert(sizeof(InitOut) == 64);

// InitIn and InitOut, flags.
inline constexpr uint32_t kInitAsyncRead = 1u << 0;
inline constexpr uint32_t kInitPosixLocks = 1u << 1;
inline constexpr uint32_t kInitAtomicTruncate = 1u << 3;
inline constexpr uint32_t kInitBigWrites = 1u << 5;
inline constexpr uint32_t kInitDontMask = 1u << 6;
inline constexpr uint32_t kInitAutoInvalidate = 1u << 12;
inline constexpr uint32_t kInitReadDirectoryPlus = 1u << 13;
inline constexpr uint32_t kInitReadDirectoryPlusAuto = 1u << 14;
inline constexpr uint32_t kInitAsyncDirect = 1u << 15;
inline constexpr uint32_t kInitWritebackCache = 1u << 16;
inline constexpr uint32_t kInitParallelDirectories = 1u << 18;
inline constexpr uint32_t kInitMaxPages = 1u << 22;

// ---- Nodes and names ------------------------------------------------------------
// Names follow the structure, each with its NUL.

struct ForgetIn {
  uint64_t lookups = 0;
};
struct BatchForgetIn {
  uint32_t count = 0;
  uint32_t padding = 0;
};
struct ForgetOne {
  uint64_t node = 0;
  uint64_t lookups = 0;
};
static_assert(sizeof(ForgetIn) == 8 && sizeof(BatchForgetIn) == 8 &&
              sizeof(ForgetOne) == 16);

struct GetAttributesIn {
  uint32_t flags = 0;
  uint32_t padding = 0;
  uint64_t handle = 0;
};
static_assert(sizeof(GetAttributesIn) == 16);
// GetAttributesIn::flags: `handle` counts.
inline constexpr uint32_t kGetAttributesByHandle = 1u << 0;

struct AttributesOut {
  uint64_t valid = 0;  // Seconds.
  uint32_t valid_nanoseconds = 0;
  uint32_t padding = 0;
  Attributes attributes = {};
};
static_assert(sizeof(AttributesOut) == 104);

struct SetAttributesIn {
  uint32_t valid = 0;
  uint32_t padding = 0;
  uint64_t handle = 0;
  uint64_t size = 0;
  uint64_t lock_owner = 0;
  uint64_t access_time = 0;
  uint64_t modify_time = 0;
  uint64_t change_time = 0;
  uint32_t access_nanoseconds = 0;
  uint32_t modify_nanoseconds = 0;
  uint32_t change_nanoseconds = 0;
  uint32_t mode = 0;
  uint32_t unused1 = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t unused2 = 0;
};
static_assert(sizeof(SetAttributesIn) == 88);
// SetAttributesIn::valid.
inline constexpr uint32_t kSetMode = 1u << 0;
inline constexpr uint32_t kSetUid = 1u << 1;
inline constexpr uint32_t kSetGid = 1u << 2;
inline constexpr uint32_t kSetSize = 1u << 3;
inline constexpr uint32_t kSetAccessTime = 1u << 4;
inline constexpr uint32_t kSetModifyTime = 1u << 5;
inline constexpr uint32_t kSetByHandle = 1u << 6;
inline constexpr uint32_t kSetAccessTimeNow = 1u << 7;
inline constexpr uint32_t kSetModifyTimeNow = 1u << 8;

struct MakeNodeIn {
  uint32_t mode = 0;
  uint32_t device = 0;
  uint32_t umask = 0;
  uint32_t padding = 0;
};
struct MakeDirectoryIn {
  uint32_t mode = 0;
  uint32_t umask = 0;
};
struct RenameIn {
  uint64_t new_parent = 0;
};
struct Rename2In {
  uint64_t new_parent = 0;
  uint32_t flags = 0;
  uint32_t padding = 0;
};
struct LinkIn {
  uint64_t old_node = 0;
};
struct AccessIn {
  uint32_t mask = 0;
  uint32_t padding = 0;
};
static_assert(sizeof(MakeNodeIn) == 16 && sizeof(MakeDirectoryIn) == 8 &&
              sizeof(RenameIn) == 8 && sizeof(Rename2In) == 16 &&
              sizeof(LinkIn) == 8 && sizeof(AccessIn) == 8);

struct FileSystemOut {
  uint64_t blocks = 0;
  uint64_t free_blocks = 0;
  uint64_t available_blocks = 0;
  uint64_t files = 0;
  uint64_t free_files = 0;
  uint32_t block_size = 0;
  uint32_t max_name = 0;
  uint32_t fragment_size = 0;
  uint32_t padding = 0;
  uint32_t spare[6] = {};
};
static_assert(sizeof(FileSystemOut) == 80);

// ---- Open files -----------------------------------------------------------------

struct OpenIn {
  uint32_t flags = 0;  // As open(2) of Linux on x86.
  uint32_t open_flags = 0;
};
struct CreateIn {
  uint32_t flags = 0;
  uint32_t mode = 0;
  uint32_t umask = 0;
  uint32_t open_flags = 0;
};
struct OpenOut {
  uint64_t handle = 0;
  uint32_t open_flags = 0;
  uint32_t padding = 0;
};
struct ReleaseIn {
  uint64_t handle = 0;
  uint32_t flags = 0;
  uint32_t release_flags = 0;
  uint64_t lock_owner = 0;
};
struct FlushIn {
  uint64_t handle = 0;
  uint32_t unused = 0;
  uint32_t padding = 0;
  uint64_t lock_owner = 0;
};
struct SyncIn {
  uint64_t handle = 0;
  uint32_t flags = 0;
  uint32_t padding = 0;
};
static_assert(sizeof(OpenIn) == 8 && sizeof(CreateIn) == 16 &&
              sizeof(OpenOut) == 16 && sizeof(ReleaseIn) == 24 &&
              sizeof(FlushIn) == 24 && sizeof(SyncIn) == 16);
// SyncIn::flags.
inline constexpr uint32_t kSyncDataOnly = 1u << 0;

// READ, READDIR and READDIRPLUS.
struct ReadIn {
  uint64_t handle = 0;
  uint64_t offset = 0;
  uint32_t size = 0;
  uint32_t read_flags = 0;
  uint64_t lock_owner = 0;
  uint32_t flags = 0;
  uint32_t padding = 0;
};
struct WriteIn {
  uint64_t handle = 0;
  uint64_t offset = 0;
  uint32_t size = 0;
  uint32_t write_flags = 0;
  uint64_t lock_owner = 0;
  uint32_t flags = 0;
  uint32_t padding = 0;
};
struct WriteOut {
  uint32_t size = 0;
  uint32_t padding = 0;
};
static_assert(sizeof(ReadIn) == 40 && sizeof(WriteIn) == 40 &&
              sizeof(WriteOut) == 8);

// An entry of READDIR; its name follows without NUL, padded to kEntryAlignment.
// READDIRPLUS has an EntryOut before it.
struct DirectoryEntry {
  uint64_t inode = 0;
  uint64_t next_offset = 0;
  uint32_t name_size = 0;
  uint32_t type = 0;  // DT_REG and the like of readdir(3).
};
static_assert(sizeof(DirectoryEntry) == 24);
inline constexpr uint32_t kEntryAlignment = 8;

struct AllocateIn {
  uint64_t handle = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  uint32_t mode = 0;  // As fallocate(2).
  uint32_t padding = 0;
};
struct SeekIn {
  uint64_t handle = 0;
  uint64_t offset = 0;
  uint32_t whence = 0;  // As lseek(2).
  uint32_t padding = 0;
};
struct SeekOut {
  uint64_t offset = 0;
};
struct CopyFileRangeIn {
  uint64_t from_handle = 0;
  uint64_t from_offset = 0;
  uint64_t to_node = 0;
  uint64_t to_handle = 0;
  uint64_t to_offset = 0;
  uint64_t length = 0;
  uint64_t flags = 0;
};
static_assert(sizeof(AllocateIn) == 32 && sizeof(SeekIn) == 24 &&
              sizeof(SeekOut) == 8 && sizeof(CopyFileRangeIn) == 56);

}  // namespace libvmm::fuse

#endif  // LIBVMM_DEVICES_VIRTIO_FS_FUSE_PROTOCOL_H_
