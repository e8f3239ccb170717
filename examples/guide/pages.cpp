// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
// Pages about the program, for a browser and for curl.
#include <hamgam/hamgam.h>

#include <iostream>

int main() {
  const auto pages = hamgam::observe::serve(":0");  // some free port; ":6060" for that one
  std::cout << "open http://" << pages.address() << "/debug/\n";
  // ... and the program goes on; the pages are there as long as `pages` is
}
