-- Annotations of graphs: remarks about moments, kept by the name of the graph until they are too old.
--
-- They are a global, so that they are kept with the script's state.

local cjson = require "cjson"
local M = {}

---@class Annotation
---@field x integer time in milliseconds
---@field col integer column, from 1
---@field shortText string what the graph shows
---@field text string

-- Kept with the script's state: for each name {annotations = list, prune_duration = nanoseconds}.
_ANNOTATIONS = {}

local DAY = 86400000000000

local function of(name)
    local graph = _ANNOTATIONS[name]
    if not graph then
        graph = { annotations = {}, prune_duration = DAY }
        _ANNOTATIONS[name] = graph
    end
    return graph
end

--- A new annotation, which `add` or `concat` puts on a graph.
---@param ns integer time in nanoseconds
---@param col integer column, from 1
---@param short_text string
---@param text string
---@return Annotation
function M.create(ns, col, short_text, text)
    return { x = math.floor(ns / 1e6), col = col, shortText = short_text, text = text }
end

--- Puts an annotation on a graph.
---@param name string
---@param annotation Annotation
function M.add(name, annotation)
    local list = of(name).annotations
    list[#list + 1] = annotation
end

--- Puts a list of annotations on a graph.
---@param name string
---@param annotations? Annotation[]
function M.concat(name, annotations)
    for _, annotation in ipairs(annotations or {}) do
        M.add(name, annotation)
    end
end

--- Takes all annotations off a graph.
---@param name string
function M.remove(name)
    _ANNOTATIONS[name] = nil
end

--- Sets how long annotations of a graph are kept, a day unless set.
---@param name string
---@param ns integer nanoseconds
function M.set_prune(name, ns)
    of(name).prune_duration = ns
end

--- Drops annotations that are too old, and returns the others as the line of JSON that goes before the
--- text of a circular buffer. Nil for a graph that has never had one.
---@param name string
---@param ns integer time in nanoseconds
---@return string?
function M.prune(name, ns)
    local graph = _ANNOTATIONS[name]
    if not graph then
        return nil
    end
    local kept = {}
    for _, annotation in ipairs(graph.annotations) do
        if annotation.x * 1e6 + graph.prune_duration > ns then
            kept[#kept + 1] = annotation
        end
    end
    graph.annotations = kept
    return cjson.encode({ annotations = kept }) .. "\n"
end

return M
