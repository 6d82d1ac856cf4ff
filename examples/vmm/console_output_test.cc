// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/console_output.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/testing/status_matchers.h"

namespace vmm {
namespace {

using libvmm::EventFd;
using libvmm::UniqueFd;

class ConsoleOutputTest : public ::testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    reader_ = UniqueFd(fds[0]);
    writer_ = UniqueFd(fds[1]);
    ASSERT_OK_AND_ASSIGN(failed_, EventFd::Create());
    ASSERT_OK_AND_ASSIGN(ConsoleOutput output,
                         ConsoleOutput::Create(writer_.get(), *failed_));
    output_.emplace(std::move(output));
  }

  void Write(absl::string_view text) {
    output_->Write(std::as_bytes(std::span(text.data(), text.size())));
  }
  // Leaves no room in the pipe.
  void FillPipe() {
    ASSERT_EQ(fcntl(writer_.get(), F_SETFL, O_NONBLOCK), 0);
    const std::array<char, 4096> page = {};
    while (write(writer_.get(), page.data(), page.size()) > 0) {
    }
    ASSERT_EQ(fcntl(writer_.get(), F_SETFL, 0), 0);
  }

  UniqueFd reader_;
  UniqueFd writer_;
  std::optional<EventFd> failed_;
  std::optional<ConsoleOutput> output_;
};

TEST_F(ConsoleOutputTest, BytesComeOutInOrder) {
  Write("ab");
  Write("");
  Write("c");
  std::array<char, 8> buffer;
  ASSERT_EQ(read(reader_.get(), buffer.data(), buffer.size()), 3);
  EXPECT_EQ(std::string(buffer.data(), 3), "abc");
  EXPECT_OK(output_->status());
  EXPECT_EQ(failed_->Drain(), 0u);
}

TEST_F(ConsoleOutputTest, AReaderThatIsGoneIsTheStatus) {
  reader_ = UniqueFd();
  Write("a");
  EXPECT_TRUE(libvmm::IsErrno(output_->status(), EPIPE));
  EXPECT_EQ(failed_->Drain(), 1u);
  Write("b");  // Once is enough.
  EXPECT_EQ(failed_->Drain(), 0u);
}

TEST_F(ConsoleOutputTest, CloseEndsAWriteThatWaitsForTheReader) {
  FillPipe();
  std::thread writer([this] { Write("a"); });
  output_->Close();
  writer.join();
  Write("b");
  EXPECT_OK(output_->status());
}

TEST_F(ConsoleOutputTest, ANonBlockingDescriptorIsWaitedFor) {
  FillPipe();
  ASSERT_EQ(fcntl(writer_.get(), F_SETFL, O_NONBLOCK), 0);
  std::thread writer([this] { Write("z"); });
  std::array<char, 4096> page;
  char last = 0;
  while (last != 'z') {
    const ssize_t size = read(reader_.get(), page.data(), page.size());
    ASSERT_GT(size, 0);
    last = page[static_cast<size_t>(size) - 1];
  }
  writer.join();
  EXPECT_OK(output_->status());
}

}  // namespace
}  // namespace vmm
