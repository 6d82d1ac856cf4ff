// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_LINUX_COMMAND_LINE_H_
#define LIBVMM_BOOT_LINUX_COMMAND_LINE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace libvmm {

// The command line of a Linux kernel, put together word by word (Linux's
// admin-guide/kernel-parameters: words are separated by white space, `key` or
// `key=value`; a double quote protects spaces and cannot be escaped).
//
//   LinuxCommandLine line;
//   LIBVMM_RETURN_IF_ERROR(line.Append("console=ttyS0 quiet"));
//   LIBVMM_RETURN_IF_ERROR(line.AppendOption("root", "/dev/vda1"));
//
// How long it may be is for each kernel to say; its loader checks.
//
// Thread-safety: thread-compatible.
// Ownership: a value.
// Errors: kInvalidArgument naming what is wrong and where; the line is then as
//     before.
// Cost: a string.
class LinuxCommandLine {
 public:
  // Appends words as they are, a space before them. Refused are control
  // characters, NUL among them, and a double quote without its partner, which
  // would swallow what comes next. Empty text appends nothing. After a word
  // "--" the kernel gives all that follows to init.
  absl::Status Append(absl::string_view text);

  // Appends `key`. Refused are an empty key and one with white space, a control
  // character, '=' or '"'.
  absl::Status AppendOption(absl::string_view key);
  // Appends `key=value`, with the value in quotes where the kernel would split
  // it: at a space or a byte 0xa0, which its parser takes for one. The value
  // may be empty; refused are control characters and '"'.
  absl::Status AppendOption(absl::string_view key, absl::string_view value);

  // Without a terminating NUL.
  [[nodiscard]] absl::string_view text() const { return text_; }

 private:
  void AppendWord(absl::string_view word);

  std::string text_;
};

}  // namespace libvmm

#endif  // LIBVMM_BOOT_LINUX_COMMAND_LINE_H_
