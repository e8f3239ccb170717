# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors

# cmake -DCARGO=<command> -DSOURCE=<folder> -DTARGET=<cargo's folder> -DPROGRAM=<file> -P build.cmake
cmake_path(GET PROGRAM FILENAME name)
file(REMOVE ${PROGRAM})
set(ENV{CARGO_NET_RETRY} 1)
execute_process(
  COMMAND ${CARGO} build --quiet --release --locked --target-dir ${TARGET}
  WORKING_DIRECTORY ${SOURCE} RESULT_VARIABLE result ERROR_VARIABLE errors)
if(result EQUAL 0)
  file(COPY_FILE ${TARGET}/release/${name} ${PROGRAM})
else()
  message(WARNING "left out: ${SOURCE} does not build with cargo\n${errors}")
endif()
