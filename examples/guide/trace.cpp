// A trace: three cooks and one oven. Where does the time go?
#include <hamgam/hamgam.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <string>

namespace {

using namespace std::chrono_literals;

hamgam::Mutex oven;

void bake_loaf() {
  {
    const hamgam::observe::Region region("knead");
    hamgam::sleep(2ms);
  }
  const std::lock_guard mine(oven);
  const hamgam::observe::Region region("bake");
  hamgam::sleep(5ms);
}

}  // namespace

int main() {
  const std::string path = std::filesystem::temp_directory_path() / "bakery.pftrace";
  hamgam::observe::start_trace(path);
  hamgam::WaitGroup group;
  for (const char* name : {"Ali", "Sara", "Mina"}) {
    group.go({.name = name}, bake_loaf);
  }
  group.wait();
  hamgam::observe::stop_trace();
  std::cout << "open " << path << " in https://ui.perfetto.dev\n";
}
