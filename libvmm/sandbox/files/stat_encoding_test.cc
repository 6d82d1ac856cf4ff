// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/stat_encoding.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <cstring>

#include "gtest/gtest.h"

namespace libvmm::sandbox {
namespace {

const FileStat kStat = {.inode = 0x1234'5678'9abc,
                        .mode = S_IFREG | 0640,
                        .links = 3,
                        .user = 1,
                        .group = 2,
                        .device_major = 5,
                        .device_minor = 6,
                        .size = 1'000'000'007,
                        .blocks = 99,
                        .access_time = absl::FromUnixNanos(1'000'000'001),
                        .modify_time = absl::FromUnixNanos(2'000'000'002),
                        .change_time = absl::FromUnixNanos(3'000'000'003)};

// Structs full of ones, to see that every byte is set.
template <typename T>
T Ones() {
  T value;
  std::memset(&value, 0xff, sizeof(value));
  return value;
}

TEST(StatEncodingTest, FillsStat) {
  auto stat = Ones<struct ::stat>();
  EncodeStat(kStat, stat);
  EXPECT_EQ(stat.st_ino, 0x1234'5678'9abcu);
  EXPECT_EQ(stat.st_mode, S_IFREG | 0640u);
  EXPECT_EQ(stat.st_nlink, 3u);
  EXPECT_EQ(stat.st_uid, 1u);
  EXPECT_EQ(stat.st_gid, 2u);
  EXPECT_EQ(stat.st_rdev, makedev(5, 6));
  EXPECT_EQ(stat.st_size, 1'000'000'007);
  EXPECT_EQ(stat.st_blocks, 99);
  EXPECT_EQ(stat.st_blksize, 4096);
  EXPECT_EQ(stat.st_atim.tv_sec, 1);
  EXPECT_EQ(stat.st_atim.tv_nsec, 1);
  EXPECT_EQ(stat.st_mtim.tv_sec, 2);
  EXPECT_EQ(stat.st_ctim.tv_nsec, 3);
}

TEST(StatEncodingTest, FillsStatx) {
  auto stat = Ones<struct ::statx>();
  EncodeStatx(kStat, stat);
  EXPECT_EQ(stat.stx_mask, STATX_BASIC_STATS);
  EXPECT_EQ(stat.stx_ino, 0x1234'5678'9abcu);
  EXPECT_EQ(stat.stx_mode, S_IFREG | 0640u);
  EXPECT_EQ(stat.stx_nlink, 3u);
  EXPECT_EQ(stat.stx_uid, 1u);
  EXPECT_EQ(stat.stx_gid, 2u);
  EXPECT_EQ(stat.stx_rdev_major, 5u);
  EXPECT_EQ(stat.stx_rdev_minor, 6u);
  EXPECT_EQ(stat.stx_size, 1'000'000'007u);
  EXPECT_EQ(stat.stx_blocks, 99u);
  EXPECT_EQ(stat.stx_atime.tv_nsec, 1u);
  EXPECT_EQ(stat.stx_mtime.tv_sec, 2);
  EXPECT_EQ(stat.stx_ctime.tv_sec, 3);
  EXPECT_EQ(stat.stx_attributes, 0u);
}

TEST(StatEncodingTest, StatAndStatxNameTheSameDevice) {
  struct ::stat stat;
  struct ::statx statx;
  EncodeStat(kStat, stat);
  EncodeStatx(kStat, statx);
  EXPECT_EQ(stat.st_dev, makedev(statx.stx_dev_major, statx.stx_dev_minor));
}

TEST(StatEncodingTest, SetsEveryByte) {
  auto one = Ones<struct ::stat>();
  struct ::stat other {};
  EncodeStat(kStat, one);
  EncodeStat(kStat, other);
  EXPECT_EQ(std::memcmp(&one, &other, sizeof(one)), 0);
  auto one_x = Ones<struct ::statx>();
  struct ::statx other_x {};
  EncodeStatx(kStat, one_x);
  EncodeStatx(kStat, other_x);
  EXPECT_EQ(std::memcmp(&one_x, &other_x, sizeof(one_x)), 0);
  auto one_fs = Ones<struct ::statfs>();
  struct ::statfs other_fs {};
  EncodeStatfs({}, one_fs);
  EncodeStatfs({}, other_fs);
  EXPECT_EQ(std::memcmp(&one_fs, &other_fs, sizeof(one_fs)), 0);
}

TEST(StatEncodingTest, FillsStatfs) {
  struct ::statfs stat;
  EncodeStatfs({.blocks = 10, .free_blocks = 4, .files = 30, .free_files = 7},
               stat);
  EXPECT_EQ(stat.f_type, TMPFS_MAGIC);
  EXPECT_EQ(stat.f_bsize, 4096);
  EXPECT_EQ(stat.f_blocks, 10u);
  EXPECT_EQ(stat.f_bfree, 4u);
  EXPECT_EQ(stat.f_bavail, 4u);
  EXPECT_EQ(stat.f_files, 30u);
  EXPECT_EQ(stat.f_ffree, 7u);
  EXPECT_EQ(stat.f_namelen, 255);
}

}  // namespace
}  // namespace libvmm::sandbox
