// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_LAB_FRAMES_H_
#define TESTS_LAB_FRAMES_H_

#include <cstdint>
#include <string_view>

namespace libvmm::lab {

// What the runner tells the host, in order, through one byte stream. A frame is
// three little-endian words (kind, job number, size) and `size` bytes.
// tools/lib/lab/machine.py reads them.
enum class FrameKind : uint32_t {
  kReady = 1,   // The runner has its list; the bytes name the kernel.
  kStart = 2,   // The job is being started.
  kOutput = 3,  // A piece of its stdout and stderr.
  kFile = 4,    // A file it left: path in its output folder, zero byte, content.
  kEnd = 5,     // Text: "exit CODE MILLISECONDS", "signal NUMBER MILLISECONDS",
                // "timeout 0 MILLISECONDS" or "failed ERRNO 0" (not started).
  kDone = 6,    // Every job has ended.
  kAlive = 7,   // Nothing else, once a second.
};

// Writes frames to a descriptor that it does not own.
//
// Thread-safety: thread-compatible.
// Errors: none: without its stream the runner has nobody to tell, so a failed
//     write ends the process with code 2.
class FrameWriter {
 public:
  explicit FrameWriter(int fd) : fd_(fd) {}
  void Send(FrameKind kind, uint32_t job, std::string_view bytes) const;

 private:
  int fd_;
};

}  // namespace libvmm::lab

#endif  // TESTS_LAB_FRAMES_H_
