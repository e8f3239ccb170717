# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
#
# Run when the documentation is packed: builds the site (./dev docs) where it is to be installed, with
# the first Python that has what it takes. Debian's packages are for Debian's own.
set(root ${CMAKE_CURRENT_LIST_DIR}/..)
foreach(python IN ITEMS python3 /usr/bin/python3)
  execute_process(COMMAND ${python} -c "import markdown_it, pygments"
    RESULT_VARIABLE lacks OUTPUT_QUIET ERROR_QUIET)
  if(lacks STREQUAL "0")
    execute_process(COMMAND ${python} ${root}/tools/site/build --root ${root}
        --out $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/${hamgam_site_dir}
      COMMAND_ERROR_IS_FATAL ANY)
    return()
  endif()
endforeach()
message(WARNING "The documentation is packed without its site, which takes markdown-it and pygments. "
  "Debian and Ubuntu: apt install python3-markdown-it python3-pygments")
