# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors

# cmake -DGO=<command> -DSOURCE=<folder> -DPROGRAM=<file> -DCACHE=<folder> -P build.cmake
set(ENV{GOTOOLCHAIN} local)
set(ENV{CGO_ENABLED} 0)
if(NOT DEFINED ENV{GOCACHE} AND NOT DEFINED ENV{HOME} AND NOT DEFINED ENV{XDG_CACHE_HOME})
  set(ENV{GOCACHE} ${CACHE})
endif()
execute_process(
  COMMAND ${GO} build -buildvcs=false -o ${PROGRAM} .
  WORKING_DIRECTORY ${SOURCE} RESULT_VARIABLE result ERROR_VARIABLE errors)
if(NOT result EQUAL 0)
  file(REMOVE ${PROGRAM})
  message(WARNING "left out: ${SOURCE} does not build with go\n${errors}")
endif()
