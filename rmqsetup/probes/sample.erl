%% What `rmqsetup status --watch` asks a node at each look: read-only, and as much for ten queues as for ten thousand.
%% Evaluated on the node with the variables Longest, Page, Slot and Known. Seen to work on 3.10, 4.0 and 4.3.
(fun() ->
    Try = fun(Ask) -> try Ask() catch _:_ -> undefined end end,
    First = fun(Asks) -> hd([Answer || Ask <- Asks, (Answer = Try(Ask)) =/= undefined] ++ [undefined]) end,
    Size = fun(Table) -> ets:info(Table, size) end,

    Counters = Try(fun() -> maps:values(rabbit_global_counters:overview()) end),
    Count = fun(Names) -> lists:sum([maps:get(Name, Of, 0) || Of <- Counters, Name <- Names]) end,
    Counted = Try(fun() -> {
        Count([messages_received_total]), Count([messages_confirmed_total]),
        Count([messages_unroutable_dropped_total, messages_unroutable_returned_total]),
        Count([messages_delivered_total]), Count([messages_redelivered_total]), Count([messages_acknowledged_total])
    } end),

    %% Quorum queues write their lengths to a table every five seconds. Classic ones do where statistics are on, which
    %% a management plugin sees to; where not, a page of them is asked, another at each look.
    Silent = application:get_env(rabbit, collect_statistics) =:= {ok, none},
    Sum = fun(Pattern) -> lists:sum(ets:select(queue_coarse_metrics, [{Pattern, [{'>', '$1', 0}], ['$1']}])) end,
    Ready = Sum({'_', '$1', '_', '_', '_'}),
    Unacked = Sum({'_', '_', '$1', '_', '_'}),
    Written = ets:select(queue_coarse_metrics, [{{'$1', '_', '_', '$2', '_'}, [{'>', '$2', 0}], [{{'$2', '$1'}}]}]),
    Full = [Name || {_, Name} <- lists:sublist(lists:reverse(lists:keysort(1, Written)), Longest)],
    Idle = case length(Full) < Longest andalso Size(queue_coarse_metrics) =< Page of
        true -> [Name || [Name] <- ets:match(queue_coarse_metrics, {'$1', '_', '_', 0, '_'})];
        false -> []
    end,

    Tables = [Table || Table <- [rabbit_khepri_queue, rabbit_queue], Size(Table) =/= undefined],
    Walk = fun
        Walk(_, Next, Rows, Found) when Found >= Page -> {Next, Rows};
        Walk(Table, Next, Rows, Found) ->
            case ets:slot(Table, Next) of
                '$end_of_table' -> {0, Rows};
                More -> Walk(Table, Next + 1, More ++ Rows, Found + length(More))
            end
    end,
    {Next, Rows} = case {Silent, Tables} of
        {true, [Table | _]} ->
            case Try(fun() -> Walk(Table, Slot, [], 0) end) of
                undefined -> Walk(Table, 0, [], 0); % it has shrunk
                Walked -> Walked
            end;
        _ -> {0, []}
    end,
    Asked = [Queue || Queue <- Rows, amqqueue:get_type(Queue) =:= rabbit_classic_queue,
                      node(amqqueue:get_pid(Queue)) =:= node()],
    Names = [amqqueue:get_name(Queue) || Queue <- Asked],
    Named = [Queue || Name <- lists:usort(Full ++ lists:sublist(Idle, Longest) ++ Known) -- Names,
                      {ok, Queue} <- [Try(fun() -> rabbit_amqqueue:lookup(Name) end)]],
    Tell = fun(Queue) ->
        {resource, Host, queue, Name} = amqqueue:get_name(Queue),
        Items = rabbit_amqqueue:info(Queue, [messages_ready, messages_unacknowledged, consumers]),
        %% What is written of it is in the sums above, and some seconds old.
        Old = [[Waiting, Out] || {_, Waiting, Out, _, _} <- ets:lookup(queue_coarse_metrics, amqqueue:get_name(Queue))],
        {Host, Name, amqqueue:get_type(Queue), [Value || {_, Value} <- Items], Old}
    end,
    Told = [Answer || Queue <- Asked ++ Named, (Answer = Try(fun() -> Tell(Queue) end)) =/= undefined],

    Members = First([fun() -> rabbit_nodes:list_members() end, fun() -> rabbit_nodes:all() end]),
    Runs = fun(Node) ->
        Node =:= node() orelse
            (lists:member(Node, nodes()) andalso rpc:call(Node, rabbit, is_running, [], 1000) =:= true)
    end,
    [
        {version, rabbit_misc:version()},
        {erlang, rabbit_misc:otp_release()},
        {uptime, element(1, erlang:statistics(wall_clock))},
        {listeners, rabbit_networking:active_listeners()},
        {alarms, rabbit_alarm:get_alarms()},
        {memory, Try(fun() -> vm_memory_monitor:get_process_memory() end)},
        {memory_limit, Try(fun() -> vm_memory_monitor:get_memory_limit() end)},
        {disk_free, Try(fun() -> rabbit_disk_monitor:get_disk_free() end)},
        {disk_free_limit, Try(fun() -> rabbit_disk_monitor:get_disk_free_limit() end)},
        {counted, Counted},
        {silent, Silent},
        {queues, Try(fun() -> rabbit_amqqueue:count() end)},
        {written, Size(queue_coarse_metrics)},
        {ready, Ready},
        {unacknowledged, Unacked},
        {slot, {Slot, Next}},
        {told, Told},
        {connections, Size(connection_created)},
        {channels, Size(channel_created)},
        {consumers, Size(consumer_created)},
        {members, [{Node, Runs(Node)} || Node <- Members]}
    ]
end)().
