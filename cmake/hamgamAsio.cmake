# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
#
# hamgam::asio: what programs that include <hamgam/asio.h> are linked with. There is nothing but
# headers in it: hamgam's, and Boost.Asio's or standalone Asio's. It is there if one of these is.
find_path(HAMGAM_BOOST_ASIO boost/asio/async_result.hpp HINTS ${BOOST_ROOT} ${Boost_INCLUDE_DIR})
find_path(HAMGAM_STANDALONE_ASIO asio/async_result.hpp)
mark_as_advanced(HAMGAM_BOOST_ASIO HAMGAM_STANDALONE_ASIO)
if((HAMGAM_BOOST_ASIO OR HAMGAM_STANDALONE_ASIO) AND NOT TARGET hamgam::asio)
  if(CMAKE_FIND_PACKAGE_NAME)
    add_library(hamgam::asio INTERFACE IMPORTED)
  else()
    add_library(hamgam::asio INTERFACE IMPORTED GLOBAL)
  endif()
  target_link_libraries(hamgam::asio INTERFACE hamgam::hamgam)
  foreach(which IN ITEMS BOOST STANDALONE)
    if(HAMGAM_${which}_ASIO)
      target_include_directories(hamgam::asio SYSTEM INTERFACE ${HAMGAM_${which}_ASIO})
    endif()
  endforeach()
endif()
