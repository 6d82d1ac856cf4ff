// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_STAT_ENCODING_H_
#define LIBVMM_SANDBOX_FILES_STAT_ENCODING_H_

#include "libvmm/sandbox/files/file_stat.h"

struct stat;
struct statx;
struct statfs;

namespace libvmm::sandbox {

// The structs in which Linux for x86-64 hands these facts to a program, the
// same as this host's. Every byte is set, padding included.
//
// Thread-safety: thread-safe.
// Errors: none.
void EncodeStat(const FileStat& from, struct ::stat& to);
// Fills stx_mask with STATX_BASIC_STATS: callers may be told more than they
// asked for.
void EncodeStatx(const FileStat& from, struct ::statx& to);
void EncodeStatfs(const VolumeStat& from, struct ::statfs& to);

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_FILES_STAT_ENCODING_H_
