// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_EMPTY_FILE_H_
#define LIBVMM_TESTING_EMPTY_FILE_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "libvmm/base/unique_fd.h"

namespace libvmm::testing {

// A file of `size` zero bytes without a name, open for reading and writing. A
// host that gives none fails the test.
inline UniqueFd EmptyFile(uint64_t size) {
  std::string name = ::testing::TempDir() + "/file.XXXXXX";
  UniqueFd fd(::mkostemp(name.data(), O_CLOEXEC));
  EXPECT_TRUE(fd.valid()) << name;
  ::unlink(name.c_str());
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
  return fd;
}

// Whether the file system that `file` is on has O_DIRECT, which stays off.
inline bool HasDirectTransfers(const UniqueFd& file) {
  const int flags = ::fcntl(file.get(), F_GETFL);
  if (::fcntl(file.get(), F_SETFL, flags | O_DIRECT) != 0) return false;
  return ::fcntl(file.get(), F_SETFL, flags) == 0;
}

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_EMPTY_FILE_H_
