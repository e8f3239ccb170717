// Two locks are taken in two orders. It went well this time.
#include <hamgam/hamgam.h>

#include <iostream>
#include <mutex>

namespace {

hamgam::Mutex kitchen;
hamgam::Mutex cellar;

void fetch_wine() {
  const std::lock_guard first(kitchen);
  const std::lock_guard second(cellar);
}

void take_stock() {
  const std::lock_guard first(cellar);
  const std::lock_guard second(kitchen);
}

}  // namespace

int main() {
  hamgam::observe::watch_locks();  // or HAMGAM_DEBUG=locks in the environment
  hamgam::WaitGroup group;
  group.go({.name = "cook"}, fetch_wine);
  group.wait();
  group.go({.name = "clerk"}, take_stock);
  group.wait();
  std::cout << "all well, " << hamgam::observe::lock_reports() << " report\n";
}
