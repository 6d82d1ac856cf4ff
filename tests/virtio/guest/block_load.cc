// SPDX-License-Identifier: Apache-2.0
// block_load DEVICE read|write sequential|random BLOCK_KIB DEPTH TOTAL_MIB
//
// Reads or writes a block device past the page cache, DEPTH requests at a time
// (Linux's asynchronous I/O), and prints "MIB_PER_SECOND MiB/s, IOPS IOPS".
// Random places follow from one another and are the same in each run. Each 4 KiB
// that it writes begin with their own number, which a read checks where anything
// was written. The exit code is 1 on an error.
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kUnit = 4096;

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "block_load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

struct Load {
  int fd = -1;
  bool write = false;
  bool random = false;
  uint64_t block = 0;  // bytes
  uint64_t depth = 0;
  uint64_t count = 0;   // requests
  uint64_t places = 0;  // blocks of the device
};

class Run {
 public:
  explicit Run(const Load& load) : load_(load), requests_(load.depth) {
    if (syscall(SYS_io_setup, load.depth, &context_) != 0) Fail("io_setup");
    void* const memory =
        mmap(nullptr, load.block * load.depth, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) Fail("mmap");
    memory_ = static_cast<std::byte*>(memory);
  }

  void All() {
    for (uint64_t i = 0; i < load_.depth && started_ < load_.count; ++i) {
      Start(i);
    }
    std::vector<io_event> events(load_.depth);
    for (uint64_t done = 0; done < load_.count;) {
      const long count =
          syscall(SYS_io_getevents, context_, 1L,
                  static_cast<long>(events.size()), events.data(), nullptr);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) Fail("io_getevents");
      for (long i = 0; i < count; ++i) {
        const io_event& event = events[static_cast<size_t>(i)];
        if (event.res != static_cast<int64_t>(load_.block)) {
          errno = event.res < 0 ? static_cast<int>(-event.res) : EIO;
          Fail("a request");
        }
        Check(event.data);
        ++done;
        if (started_ < load_.count) Start(event.data);
      }
    }
  }

 private:
  uint64_t NextPlace() {
    if (!load_.random) return started_ % load_.places;
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % load_.places;
  }

  void Start(uint64_t slot) {
    const uint64_t place = NextPlace();
    ++started_;
    std::byte* const data = memory_ + slot * load_.block;
    if (load_.write) {
      for (uint64_t at = 0; at < load_.block; at += kUnit) {
        const uint64_t mark = MarkOf(place, at);
        std::memcpy(data + at, &mark, sizeof mark);
      }
    }
    iocb& request = requests_[slot];
    request = {};
    request.aio_data = slot;
    request.aio_lio_opcode = load_.write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
    request.aio_fildes = static_cast<uint32_t>(load_.fd);
    request.aio_buf = reinterpret_cast<uint64_t>(data);
    request.aio_nbytes = load_.block;
    request.aio_offset = static_cast<int64_t>(place * load_.block);
    iocb* pointer = &request;
    if (syscall(SYS_io_submit, context_, 1L, &pointer) != 1) Fail("io_submit");
  }

  void Check(uint64_t slot) {
    if (load_.write) return;
    const std::byte* const data = memory_ + slot * load_.block;
    const uint64_t place =
        static_cast<uint64_t>(requests_[slot].aio_offset) / load_.block;
    for (uint64_t at = 0; at < load_.block; at += kUnit) {
      uint64_t mark = 0;
      std::memcpy(&mark, data + at, sizeof mark);
      if (mark != 0 && mark != MarkOf(place, at)) {
        errno = EILSEQ;
        Fail("data");
      }
    }
  }

  // What the unit `at` bytes into the block at `place` begins with; not zero.
  [[nodiscard]] uint64_t MarkOf(uint64_t place, uint64_t at) const {
    return (place * load_.block + at) / kUnit + 1;
  }

  const Load load_;
  aio_context_t context_ = 0;
  std::byte* memory_ = nullptr;
  std::vector<iocb> requests_;
  uint64_t started_ = 0;
  uint64_t state_ = 88172645463325252;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr,
                 "block_load DEVICE read|write sequential|random BLOCK_KIB "
                 "DEPTH TOTAL_MIB\n");
    return 2;
  }
  Load load;
  load.write = std::string_view(argv[2]) == "write";
  load.random = std::string_view(argv[3]) == "random";
  load.block = std::strtoull(argv[4], nullptr, 0) << 10;
  load.depth = std::strtoull(argv[5], nullptr, 0);
  const uint64_t total = std::strtoull(argv[6], nullptr, 0) << 20;
  load.fd = open(argv[1], (load.write ? O_RDWR : O_RDONLY) | O_DIRECT);
  if (load.fd < 0) Fail(argv[1]);
  uint64_t size = 0;
  if (ioctl(load.fd, BLKGETSIZE64, &size) != 0) Fail("BLKGETSIZE64");
  if (load.block == 0 || load.block % kUnit != 0 || load.depth == 0 ||
      size < load.block) {
    errno = EINVAL;
    Fail("arguments");
  }
  load.count = total / load.block;
  load.places = size / load.block;
  Run run(load);
  const Clock::time_point begin = Clock::now();
  run.All();
  const double seconds =
      std::chrono::duration<double>(Clock::now() - begin).count();
  std::printf(
      "%.1f MiB/s, %.0f IOPS\n",
      static_cast<double>(load.count * load.block) / (1 << 20) / seconds,
      static_cast<double>(load.count) / seconds);
  return 0;
}
