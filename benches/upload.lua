-- A request with 1 MiB of body. It is made once, before the first request: no `request` function is called for each.
wrk.method = "POST"
wrk.body = string.rep("x", 1048576)
local here = debug.getinfo(1, "S").source:sub(2):gsub("[^/]*$", "")
dofile(here .. "result.lua")
