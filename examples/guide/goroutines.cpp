// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A thousand functions that wait at the same time, and one that has a result.
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

int ask(const std::string& city) {
  hamgam::sleep(1ms);  // as over a network
  if (city == "Atlantis") {
    throw std::runtime_error("no such city: " + city);
  }
  return static_cast<int>(city.size());
}

}  // namespace

int main() {
  return hamgam::run([] {
    // [naive]
    std::vector<std::thread> threads;
    for (int i = 0; i < 20; ++i) {
      threads.emplace_back([] { std::this_thread::sleep_for(1ms); });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    // [/naive]

    // [ours]
    hamgam::WaitGroup group;
    hamgam::Atomic<int> awake;
    for (int i = 0; i < 1000; ++i) {
      group.go([&awake] {
        hamgam::sleep(1ms);
        awake.add(1);
      });
    }
    group.wait();
    std::cout << awake.load() << " have waited\n";
    // [/ours]

    // [task]
    hamgam::Task<int> yazd = hamgam::spawn(ask, "Yazd");
    hamgam::Task<int> atlantis = hamgam::spawn(ask, "Atlantis");
    std::cout << "Yazd: " << yazd.get() << '\n';
    try {
      std::cout << atlantis.get() << '\n';
    } catch (const std::runtime_error& e) {
      std::cout << e.what() << '\n';
    }
    // [/task]

    // [own]
    std::string name = "Shiraz";
    const auto told = hamgam::make_chan<std::string>();
    hamgam::go([name, told] { told.send(name); });  // its own copy
    name = "Tabriz";
    std::cout << "it has " << *told.recv() << ", I have " << name << '\n';
    // [/own]
  });
}
