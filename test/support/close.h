// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Closing a channel that somebody may be sending to is a race, which ThreadSanitizer tells users as
// Go's detector does. A test of what happens then does it on purpose.

#include "hamgam/chan.h"
#include "hamgam/detail/atomic.h"

namespace hamgam::test {

template <class Channel>
void close_beside_senders(const Channel& channel) {
  detail::TsanHide const on_purpose;
  channel.close();
}

}  // namespace hamgam::test
