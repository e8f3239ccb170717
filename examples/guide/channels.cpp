// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Words go from one goroutine to the next.
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;

// [ours]
hamgam::RecvChan<std::string> words() {
  auto out = hamgam::make_chan<std::string>();
  hamgam::go([out] {
    for (const char* word : {"one", "two", "three"}) {
      out.send(word);
    }
    out.close();  // the sender closes: there will be no more
  });
  return out;
}

hamgam::RecvChan<std::size_t> lengths(hamgam::RecvChan<std::string> in) {
  auto out = hamgam::make_chan<std::size_t>();
  hamgam::go([in, out] {
    for (const std::string word : in) {  // until closed and drained
      out.send(word.size());
    }
    out.close();
  });
  return out;
}
// [/ours]

}  // namespace

int main() {
  return hamgam::run([] {
    // [naive]
    hamgam::Mutex mutex;
    std::vector<std::string> list;
    bool complete = false;
    hamgam::WaitGroup group;
    group.go([&] {
      for (const char* word : {"one", "two", "three"}) {
        const std::lock_guard lock(mutex);
        list.emplace_back(word);
      }
      const std::lock_guard lock(mutex);
      complete = true;
    });
    for (;;) {
      {
        const std::lock_guard lock(mutex);
        if (complete) {
          break;
        }
      }
      hamgam::sleep(1ms);  // and who limits how long the list grows?
    }
    // [/naive]
    group.wait();
    std::cout << "list: " << list.size() << " words\n";

    std::cout << "lengths:";
    for (const std::size_t length : lengths(words())) {
      std::cout << ' ' << length;
    }
    std::cout << '\n';

    // [buffer]
    const auto news = hamgam::make_chan<int>(2);  // room for two
    for (int i = 1; i <= 3; ++i) {
      std::cout << (news.try_send(i) ? "sent " : "no room for ") << i << '\n';
    }
    news.close();
    while (const std::optional<int> item = news.recv()) {
      std::cout << "received " << *item << '\n';
    }
    // [/buffer]

    // [closed]
    try {
      news.send(4);
    } catch (const hamgam::Panic& panic) {
      std::cout << "panic: " << panic.what() << '\n';
    }
    // [/closed]
  });
}
