// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_HOST_FILE_H_
#define LIBVMM_SANDBOX_FILES_HOST_FILE_H_

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace libvmm::sandbox::internal {

// A regular file of the host, read.
struct HostFile {
  std::unique_ptr<const std::byte[]> bytes;
  size_t size = 0;
  struct ::stat stat {};
};

// Where a file of the host is: `name` in the open directory `directory`.
struct HostName {
  int directory;  // or AT_FDCWD
  std::string name;
  std::string path;  // for messages
  bool follow = false;
};

// Reads the whole file. It never waits, as opening a named pipe would.
//   kInvalidArgument    not a regular file, or its length changed meanwhile
//   kResourceExhausted  longer than `max_size`
//   the errno's code    what the host says, ELOOP for a link without `follow`
absl::StatusOr<HostFile> ReadHostFile(const HostName& name, uint64_t max_size);

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_FILES_HOST_FILE_H_
