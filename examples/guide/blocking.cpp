// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Calls that block their thread: the other goroutines must not wait with it.
#include <hamgam/hamgam.h>
#include <unistd.h>

#include <array>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

namespace {

// A pipe of the system's: read() blocks the thread until somebody writes.
class SystemPipe {
 public:
  SystemPipe() {
    if (::pipe(ends_.data()) != 0) {
      throw std::runtime_error("no pipe");
    }
  }
  ~SystemPipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  SystemPipe(const SystemPipe&) = delete;
  SystemPipe& operator=(const SystemPipe&) = delete;

  // [naive]
  std::string read_badly() {
    std::array<char, 100> bytes{};
    const ssize_t n = ::read(ends_[0], bytes.data(), bytes.size());  // the worker sleeps, too
    return std::string(bytes.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  }
  // [/naive]

  // [ours]
  std::string read() {
    return hamgam::blocking([this] { return read_badly(); });
  }
  // [/ours]

  void write(std::string_view text) { (void)!::write(ends_[1], text.data(), text.size()); }

 private:
  std::array<int, 2> ends_{};
};

// A library that knows nothing of goroutines: it calls back on a thread of its own.
class Radio {
 public:
  template <class OnNews>
  explicit Radio(OnNews on_news)
      : thread_([on_news] {
          for (const char* news : {"rain", "snow"}) {
            on_news(news);
          }
        }) {}
  ~Radio() { thread_.join(); }

 private:
  std::thread thread_;
};

}  // namespace

int main() {
  return hamgam::run([] {
    SystemPipe pipe;
    for (int i = 0; i < 2; ++i) {
      auto reader = hamgam::spawn([&, i] { return i == 0 ? pipe.read_badly() : pipe.read(); });
      hamgam::yield();
      pipe.write("salaam");
      std::cout << (i == 0 ? "after some time: " : "at once: ") << reader.get() << '\n';
    }

    // [callback]
    const auto news = hamgam::make_chan<std::string>(10);
    {
      const Radio radio([news](const char* text) { news.send(text); });
      std::cout << "the radio says " << *news.recv() << " and " << *news.recv() << '\n';
    }
    // [/callback]
  });
}
