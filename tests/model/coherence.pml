/*
 * The coherence protocol of docs/coherence.md as a model for Spin: home, two peers, PAGES pages.
 * Not for hold times beyond their effect: what may be held back is done at any later moment.
 *
 * Contents are a version; a page's latest version changes with each write. Checked in every state that is reached: a write
 * finds no other copy (one writer or many readers), whatever is installed is the latest version (no stale read), a write
 * on another node has a greater epoch, home is current while frozen; and when nothing can happen any more (which process
 * Quiet sees), no request, recall or job is unanswered. What nodes do on their own is bounded by budgets, given with -D;
 * tests/model/run has them, and the mutants (-DMUTANT_...) that must fail.
 */
#ifndef PAGES
#define PAGES 1
#endif
#ifndef FAULTS
#define FAULTS 2 /* of each node */
#endif
#ifndef WRITES
#define WRITES 2 /* of all nodes */
#endif
#ifndef DROPS
#define DROPS 0 /* jobs of each kind */
#endif
#ifndef RECALLS
#define RECALLS 0
#endif
#ifndef FREEZES
#define FREEZES 0
#endif
#ifndef GONES
#define GONES 0 /* installs that find no mapping */
#endif

#ifndef MOVES
#define MOVES 0 /* pages that go along with a thread, unasked */
#endif

#ifndef FOREIGN
#define FOREIGN 0 /* writes of another process to home's memory */
#endif

#define NODES 3
#define HOME  0
#define LOST  0
#define SHARED 1
#define EXCLUSIVE 2
#define MODIFIED 3

#define NONE 0 /* contents of a message */
#define DATA 1
#define GONE 2

#define BIT(n) (1 << (n))
#define AT(n, p) ((n) * PAGES + (p))

mtype = { REQUEST, GRANT, RECALL, RETURN, DROP, DONE };

/* type, page, state, held, contents, version, epoch; a stream never fills, so that every step is one step */
#define STREAM (4 * PAGES + 2)
chan down[NODES] = [STREAM] of { mtype, byte, byte, byte, byte, byte, byte };
chan up[NODES] = [STREAM] of { mtype, byte, byte, byte, byte, byte, byte };
#define DOWN(n) assert(len(down[n]) < STREAM); down[n]
#define UP(n) assert(len(up[n]) < STREAM); up[n]

/* What the kernel of each node has: 0 nothing, 1 read-only, 2 writable; and the contents. */
byte perm[NODES * PAGES];
byte memory[NODES * PAGES];
bool mapped[NODES * PAGES];

/* Peers */
byte state[NODES * PAGES];
byte epoch[NODES * PAGES];
byte asked[NODES * PAGES]; /* outstanding request: SHARED or MODIFIED */
bool recalled[NODES * PAGES];
byte fall_back[NODES * PAGES];
bool recall_data[NODES * PAGES];

/* The directory */
byte wanted[NODES * PAGES]; /* requests that wait, home's own among them */
byte holders[PAGES];
byte granted[PAGES];
byte home_epoch[PAGES];
byte busy[PAGES];    /* 0, or 1 + the node that asked */
byte busy_wants[PAGES];
byte pending[PAGES];
byte source[PAGES];  /* NODES: nobody */
byte came[PAGES];    /* version from the source */
bool has_come[PAGES];
bool foreign[PAGES]; /* another process writes to home's copy */
bool seized[PAGES];    /* the kernel has got hold of home's copy for it, and will write to it */
bool pushed[PAGES]; /* the holder has not asked for it, or its request is on the way */

/* The job: on all pages */
#define J_NONE 0
#define J_DRAIN 1
#define J_COLLECT 2
#define J_WAIT 3
byte job;          /* phase */
bool job_keeps;    /* recall; otherwise drop */
byte waiting;
byte drops = DROPS, recalls = RECALLS, foreigns = FOREIGN, freezes = FREEZES, gones = GONES, moves = MOVES, writes = WRITES;
bool frozen, frozen_done;

/* The oracle */
byte latest[PAGES];
byte last_epoch[PAGES];
byte last_writer[PAGES];
bool loose; /* a drop is under way: contents are not expected to be anything */

#define ALONE(n, p) ((n == 0 || perm[AT(0, p)] == 0) && (n == 1 || perm[AT(1, p)] == 0) && (n == 2 || perm[AT(2, p)] == 0))
#define NO_WRITER(p) (perm[AT(0, p)] < 2 && perm[AT(1, p)] < 2 && perm[AT(2, p)] < 2)

inline map_install(n, p, version, writable) {
    assert(perm[AT(n, p)] == 0);
    memory[AT(n, p)] = (version);
    perm[AT(n, p)] = ((writable) -> 2 : 1);
    assert(loose || (version) == latest[p]);
    assert(loose || !(writable) || ALONE(n, p));
    assert(loose || NO_WRITER(p) || ALONE(n, p))
}

inline map_write(n, p, at_epoch) {
    writes--;
    if
    :: loose -> skip
    :: else ->
        assert(ALONE(n, p));
        assert(n == HOME || !frozen_done);
        assert(memory[AT(n, p)] == latest[p]);
        assert(last_writer[p] == n || last_writer[p] == NODES || at_epoch > last_epoch[p]);
        last_writer[p] = n;
        last_epoch[p] = at_epoch;
        latest[p]++;
        memory[AT(n, p)] = latest[p]
    fi
}

/* ---- a peer ------------------------------------------------------------------------------------------------------- */

inline peer_recall(n, p) {
    recalled[AT(n, p)] = false;
    if
    :: fall_back[AT(n, p)] == LOST ->
        UP(n)!RETURN(p, LOST, state[AT(n, p)], (recall_data[AT(n, p)] -> DATA : NONE), memory[AT(n, p)], epoch[AT(n, p)]);
#ifndef MUTANT_PEER_KEEPS_COPY
        perm[AT(n, p)] = 0;
#endif
        state[AT(n, p)] = LOST
    :: else ->
#ifndef MUTANT_PEER_STAYS_WRITABLE
        perm[AT(n, p)] = 1;
#endif
        UP(n)!RETURN(p, SHARED, state[AT(n, p)], DATA, memory[AT(n, p)], epoch[AT(n, p)]);
        state[AT(n, p)] = SHARED
    fi
}

inline peer_grant(n, p, to, contents, version, at_epoch) {
    /* a grant that nobody asked for is refused, but for a page that comes with a thread */
    assert(asked[AT(n, p)] != LOST || (to == MODIFIED && contents == DATA && state[AT(n, p)] == LOST));
    assert(contents == GONE || to == MODIFIED || asked[AT(n, p)] == SHARED);
    asked[AT(n, p)] = LOST;
    if
    :: contents == NONE ->
        assert(state[AT(n, p)] == SHARED && perm[AT(n, p)] == 1 && at_epoch == epoch[AT(n, p)] + 1);
        perm[AT(n, p)] = 2;
        assert(loose || ALONE(n, p));
        state[AT(n, p)] = to;
        epoch[AT(n, p)] = at_epoch
    :: contents == DATA && mapped[AT(n, p)] ->
        assert(state[AT(n, p)] == LOST);
        map_install(n, p, version, to == MODIFIED);
        state[AT(n, p)] = to;
        epoch[AT(n, p)] = at_epoch
    :: contents == DATA && (gones > 0 || !mapped[AT(n, p)]) ->
        if
        :: mapped[AT(n, p)] -> gones--
        :: else -> skip
        fi;
        mapped[AT(n, p)] = false;
        UP(n)!RETURN(p, LOST, to, GONE, version, at_epoch)
    :: contents == GONE -> skip
    fi
}

inline peer_give(n, p) {
    UP(n)!RETURN(p, LOST, MODIFIED, GONE, memory[AT(n, p)], epoch[AT(n, p)]);
    perm[AT(n, p)] = 0;
    state[AT(n, p)] = LOST
}

proctype Peer(byte n)
{
    byte faults = FAULTS;
    byte p, to, held, contents, version, at_epoch;
    mtype type;
end:
    do
    /* Messages */
    :: atomic { down[n]?type, p, to, held, contents, version, at_epoch ->
        if
        :: type == GRANT -> peer_grant(n, p, to, contents, version, at_epoch)
        :: type == RECALL ->
            if
            :: state[AT(n, p)] == LOST ->
#ifdef MUTANT_GONE_ANSWERED_TWICE
                UP(n)!RETURN(p, to, LOST, NONE, 0, 0)
#else
                skip /* it went back by itself */
#endif
            :: else ->
                assert(!recalled[AT(n, p)] && (contents == DATA || (state[AT(n, p)] == SHARED && to == LOST)));
                recalled[AT(n, p)] = true;
                fall_back[AT(n, p)] = to;
                recall_data[AT(n, p)] = contents == DATA
            fi
        :: type == DROP ->
            p = 0;
            do
            :: p < PAGES ->
                if
                :: recalled[AT(n, p)] -> peer_recall(n, p)
                :: else -> skip
                fi;
                perm[AT(n, p)] = 0;
                mapped[AT(n, p)] = false;
                state[AT(n, p)] = LOST;
#ifndef MUTANT_PEER_REMEMBERS
                asked[AT(n, p)] = LOST;
#endif
                p++
            :: else -> break
            od;
            UP(n)!DONE(0, 0, 0, 0, 0, 0)
        fi;
        type = 0; p = 0; to = 0; held = 0; contents = 0; version = 0; at_epoch = 0 }
    /* A recall that was held back, for however long */
    :: atomic {
        if
        :: recalled[AT(n, 0)] -> p = 0
#if PAGES > 1
        :: recalled[AT(n, 1)] -> p = 1
#endif
        fi;
        peer_recall(n, p);
        p = 0 }
    /* Threads */
    :: atomic { faults > 0 ->
        faults--;
        select(p : 0 .. PAGES - 1);
        select(to : SHARED .. EXCLUSIVE); /* read or write */
        if
        :: !mapped[AT(n, p)] && job == J_NONE -> mapped[AT(n, p)] = true /* looks the mapping up, which waits for jobs */
        :: !mapped[AT(n, p)] && job != J_NONE -> skip
        :: else ->
            if
            :: state[AT(n, p)] >= to && state[AT(n, p)] != EXCLUSIVE -> skip /* it is there */
            :: state[AT(n, p)] == EXCLUSIVE && to == EXCLUSIVE ->
                perm[AT(n, p)] = 2;
                state[AT(n, p)] = MODIFIED;
#ifndef MUTANT_SILENT_WITHOUT_EPOCH
                epoch[AT(n, p)]++;
#endif
                assert(loose || ALONE(n, p))
            :: state[AT(n, p)] == EXCLUSIVE && to == SHARED -> skip
            :: else ->
                if
                :: asked[AT(n, p)] == LOST ->
                    asked[AT(n, p)] = (to == SHARED -> SHARED : MODIFIED);
                    UP(n)!REQUEST(p, asked[AT(n, p)], state[AT(n, p)], NONE, 0, 0)
                :: else -> skip
                fi
            fi
        fi;
        p = 0; to = 0 }
    :: atomic { writes > 0 && perm[AT(n, 0)] == 2 -> map_write(n, 0, epoch[AT(n, 0)]) }
#if PAGES > 1
    :: atomic { writes > 0 && perm[AT(n, 1)] == 2 -> map_write(n, 1, epoch[AT(n, 1)]) }
#endif
    /* A thread leaves and takes its pages along */
    :: atomic { moves > 0 && state[AT(n, 0)] == MODIFIED && !recalled[AT(n, 0)] -> moves--; peer_give(n, 0) }
#if PAGES > 1
    :: atomic { moves > 0 && state[AT(n, 1)] == MODIFIED && !recalled[AT(n, 1)] -> moves--; peer_give(n, 1) }
#endif
    od
}

/* ---- home ---------------------------------------------------------------------------------------------------------- */

#define HOLDS(n, p) ((holders[p] & BIT(n)) != 0)
/* Home's copy stays while the kernel is about to write to it: what it holds it writes to, whatever perm says. */
#ifdef MUTANT_HELD_PAGE_GRANTED
#define HELD(n, p) (false)
#else
#define HELD(n, p) (n != HOME && foreign[p] && seized[p] && AT_HOME(p))
#endif
/* Requests that may not begin: of peers that want to write while frozen, and all while a job is at work. */
#define STARTS(n, p) (wanted[AT(n, p)] != LOST && busy[p] == 0 && !FROZEN_OUT(n, p) && !JOB_OUT && !HELD(n, p))
#ifdef MUTANT_FROZEN_GRANTS_WRITES
#define FROZEN_OUT(n, p) (false)
#else
#define FROZEN_OUT(n, p) (frozen && n != HOME && wanted[AT(n, p)] == MODIFIED)
#endif
#ifdef MUTANT_JOB_BLOCKS_NOTHING
#define JOB_OUT (false)
#else
#define JOB_OUT (job != J_NONE)
#endif

inline grant(n, p, want, contents, version) {
    /* contents: what came from a peer, or NONE */
    if
    :: n == HOME && want == SHARED ->
        if
        :: !HOLDS(HOME, p) ->
            map_install(HOME, p, version, false);
            if
            :: holders[p] == 0 -> granted[p] = SHARED
            :: else -> skip
            fi;
            holders[p] = holders[p] | BIT(HOME)
        :: else -> skip
        fi
    :: n == HOME && want == MODIFIED ->
        if
        :: HOLDS(HOME, p) && granted[p] == MODIFIED -> perm[AT(HOME, p)] = 2 /* nothing to do but to let it write */
        :: HOLDS(HOME, p) && granted[p] != MODIFIED ->
            perm[AT(HOME, p)] = 2;
            assert(loose || ALONE(HOME, p));
            home_epoch[p]++
        :: else ->
            map_install(HOME, p, version, true);
            home_epoch[p]++
        fi;
        holders[p] = BIT(HOME);
        granted[p] = MODIFIED
    :: n != HOME && want == SHARED ->
        if
        :: HOLDS(HOME, p) ->
#ifndef MUTANT_HOME_STAYS_WRITABLE
            perm[AT(HOME, p)] = 1;
#endif
            if
#ifdef MUTANT_FROZEN_GRANTS_EXCLUSIVE
            :: memory[AT(HOME, p)] == 0 && holders[p] == BIT(HOME) ->
#else
            :: memory[AT(HOME, p)] == 0 && holders[p] == BIT(HOME) && !frozen ->
#endif
                perm[AT(HOME, p)] = 0;
                holders[p] = BIT(n);
                granted[p] = EXCLUSIVE;
                DOWN(n)!GRANT(p, EXCLUSIVE, 0, DATA, 0, home_epoch[p])
            :: else ->
                holders[p] = holders[p] | BIT(n);
                granted[p] = SHARED;
                DOWN(n)!GRANT(p, SHARED, 0, DATA, memory[AT(HOME, p)], home_epoch[p])
            fi
        :: else ->
            holders[p] = holders[p] | BIT(n);
            granted[p] = SHARED;
            DOWN(n)!GRANT(p, SHARED, 0, DATA, version, home_epoch[p])
        fi
    :: else ->
#ifndef MUTANT_EPOCH_STAYS
        home_epoch[p]++;
#endif
        if
        :: HOLDS(n, p) -> DOWN(n)!GRANT(p, MODIFIED, 0, NONE, 0, home_epoch[p])
        :: !HOLDS(n, p) && HOLDS(HOME, p) -> DOWN(n)!GRANT(p, MODIFIED, 0, DATA, memory[AT(HOME, p)], home_epoch[p])
        :: else -> DOWN(n)!GRANT(p, MODIFIED, 0, DATA, version, home_epoch[p])
        fi;
#ifndef MUTANT_HOME_KEEPS_COPY
        perm[AT(HOME, p)] = 0;
#endif
        holders[p] = BIT(n);
        granted[p] = MODIFIED
    fi
}

inline recall(q, p, to, with_data) {
    pending[p] = pending[p] | BIT(q);
    DOWN(q)!RECALL(p, to, 0, ((with_data) -> DATA : NONE), 0, home_epoch[p]);
    if
    :: (with_data) -> source[p] = q
    :: else -> skip
    fi
}

inline start(n, p, want) {
    busy_wants[p] = want;
    source[p] = NODES;
    if
    :: busy_wants[p] == SHARED && !HOLDS(HOME, p) && !HOLDS(n, p) ->
        if
        :: n != 1 && HOLDS(1, p) -> recall(1, p, SHARED, true)
        :: else -> recall(2, p, SHARED, true)
        fi
    :: busy_wants[p] == MODIFIED ->
        if
        :: n != 1 && HOLDS(1, p) -> recall(1, p, LOST, !HOLDS(HOME, p) && !HOLDS(n, p))
        :: else -> skip
        fi;
        if
        :: n != 2 && HOLDS(2, p) -> recall(2, p, LOST, !HOLDS(HOME, p) && !HOLDS(n, p) && source[p] == NODES)
        :: else -> skip
        fi
    :: else -> skip
    fi;
    if
#ifdef MUTANT_GRANT_BEFORE_ANSWER
    :: busy_wants[p] == MODIFIED && (HOLDS(HOME, p) || HOLDS(n, p)) ->
        pending[p] = 0;
        grant(n, p, busy_wants[p], NONE, 0)
#endif
    :: pending[p] == 0 -> grant(n, p, busy_wants[p], NONE, 0); busy_wants[p] = 0
    :: else -> busy[p] = n + 1
    fi
}

/* The answer of `from` to a recall: it has fallen back to `to`. */
inline answer(from, p, to, contents, version) {
    pending[p] = pending[p] & ~BIT(from);
    pushed[p] = false;
    if
    :: to == SHARED -> granted[p] = SHARED
    :: else -> holders[p] = holders[p] & ~BIT(from)
    fi;
    if
    :: source[p] == from -> came[p] = version; has_come[p] = true
    :: else -> skip
    fi;
    if
    :: pending[p] == 0 ->
        k = busy[p] - 1;
        busy[p] = 0;
        grant(k, p, busy_wants[p], DATA, came[p]);
        source[p] = NODES; came[p] = 0; has_come[p] = false; busy_wants[p] = 0; k = 0
    :: else -> skip
    fi
}

/* The node had what it was granted, or wrote to it without a message. */
#define HELD_MAKES_SENSE(p, held, at_epoch) ((held == granted[p] && at_epoch == home_epoch[p]) || \
    (granted[p] == EXCLUSIVE && held == MODIFIED && at_epoch == home_epoch[p] + 1))

inline take_return(from, p, to, held, contents, version, at_epoch) {
    if
    :: contents == GONE && !HOLDS(from, p) ->
        assert(job == J_WAIT && (waiting & BIT(from))) /* the drop took the page from it already */
    :: contents == GONE && HOLDS(from, p) && (pending[p] & BIT(from)) ->
        assert(HELD_MAKES_SENSE(p, held, at_epoch));
        home_epoch[p] = at_epoch;
        answer(from, p, LOST, DATA, version)
    :: contents == GONE && HOLDS(from, p) && !(pending[p] & BIT(from)) ->
        assert(HELD_MAKES_SENSE(p, held, at_epoch));
        home_epoch[p] = at_epoch;
        pushed[p] = false;
#ifndef MUTANT_GONE_IGNORED
        holders[p] = holders[p] & ~BIT(from);
        if
        :: holders[p] == 0 ->
            map_install(HOME, p, version, true);
            holders[p] = BIT(HOME);
            granted[p] = MODIFIED;
#ifndef MUTANT_GIVEN_KEEPS_EPOCH
            home_epoch[p]++
#endif
        :: else -> skip
        fi
#else
        skip
#endif
    :: contents != GONE ->
        assert(busy[p] != 0 && (pending[p] & BIT(from)));
        assert(to == (busy_wants[p] == SHARED -> SHARED : LOST));
        assert((contents == DATA) == (source[p] == from));
        assert(HELD_MAKES_SENSE(p, held, at_epoch));
        home_epoch[p] = at_epoch;
        answer(from, p, to, contents, version)
    fi
}

#ifdef MUTANT_JOB_FORGETS_NOTHING
#define FORGETS(n) (false)
#else
#define FORGETS(n) (job == J_DRAIN || job == J_COLLECT || (job == J_WAIT && (waiting & BIT(n))))
#endif

inline job_send() {
    p = 0;
    do
    :: p < PAGES ->
        if
        :: !job_keeps ->
            if
            :: HOLDS(HOME, p) && granted[p] == SHARED -> perm[AT(HOME, p)] = 0
            :: else -> skip
            fi;
            holders[p] = BIT(HOME);
            granted[p] = MODIFIED;
            pushed[p] = false;
            home_epoch[p] = 1
        :: else -> assert(holders[p] == BIT(HOME) && granted[p] == MODIFIED)
        fi;
        p++
    :: else -> break
    od;
    waiting = BIT(1) | BIT(2);
    DOWN(1)!DROP(0, 0, 0, 0, 0, 0);
    DOWN(2)!DROP(0, 0, 0, 0, 0, 0);
    job = J_WAIT;
    p = 0
}

#if PAGES > 1
#define IDLE (busy[0] == 0 && busy[1] == 0)
#define AT_HOME(p) (holders[p] == BIT(HOME) && granted[p] == MODIFIED)
#define ALL_AT_HOME (AT_HOME(0) && AT_HOME(1))
#define CURRENT(p) (busy[p] == 0 && HOLDS(HOME, p))
#define ALL_CURRENT (CURRENT(0) && CURRENT(1))
#else
#define IDLE (busy[0] == 0)
#define AT_HOME(p) (holders[p] == BIT(HOME) && granted[p] == MODIFIED)
#define ALL_AT_HOME AT_HOME(0)
#define CURRENT(p) (busy[p] == 0 && HOLDS(HOME, p))
#define ALL_CURRENT CURRENT(0)
#endif

inline frozen_check() {
    p = 0;
    do
    :: p < PAGES ->
        assert(perm[AT(HOME, p)] != 0 || (AT_HOME(p) && latest[p] == 0));
        assert(perm[AT(HOME, p)] == 0 || memory[AT(HOME, p)] == latest[p]);
        assert(perm[AT(1, p)] < 2 && perm[AT(2, p)] < 2);
        p++
    :: else -> break
    od;
    p = 0
}

/* Home has the page to itself, and nobody has asked for it. */
#ifdef MUTANT_HELD_PAGE_PUSHED
#define STAYS(p) (false)
#else
#define STAYS(p) (foreign[p])
#endif
#define RESTS(p) (AT_HOME(p) && busy[p] == 0 && !STAYS(p) && wanted[AT(0, p)] == LOST && wanted[AT(1, p)] == LOST && wanted[AT(2, p)] == LOST)

proctype Home()
{
    byte faults = FAULTS;
    byte p, k, n, want, from, to, held, contents, version, at_epoch;
    mtype type;
    bool collecting; /* the freeze waits for pages */
end:
    do
    /* Messages */
    :: atomic { (nempty(up[1]) || nempty(up[2])) ->
        if
        :: up[1]?type, p, to, held, contents, version, at_epoch -> from = 1
        :: up[2]?type, p, to, held, contents, version, at_epoch -> from = 2
        fi;
        if
        :: type == REQUEST && FORGETS(from) -> skip
        :: type == REQUEST && !FORGETS(from) ->
            assert(wanted[AT(from, p)] == LOST);
            assert(!HOLDS(from, p) || (pushed[p] && held == LOST) || (to == MODIFIED && granted[p] == SHARED && held == SHARED));
            if
#ifdef MUTANT_CROSSING_REQUEST_QUEUED
            :: false -> skip
#else
            :: HOLDS(from, p) && held == LOST -> pushed[p] = false /* what met it on the way was the answer */
#endif
            :: else ->
            if
            :: wanted[AT(from, p)] = to
            :: to == SHARED && !frozen -> wanted[AT(from, p)] = MODIFIED /* a migratory page */
            fi
            fi
        :: type == RETURN -> take_return(from, p, to, held, contents, version, at_epoch)
        :: type == DONE ->
            assert(job == J_WAIT && (waiting & BIT(from)));
            waiting = waiting & ~BIT(from)
        fi;
        type = 0; p = 0; from = 0; to = 0; held = 0; contents = 0; version = 0; at_epoch = 0 }
    /* A request begins, in any order: this covers queues, and home's own hold times */
    :: atomic {
        if
        :: STARTS(0, 0) -> n = 0; p = 0
        :: STARTS(1, 0) -> n = 1; p = 0
        :: STARTS(2, 0) -> n = 2; p = 0
#if PAGES > 1
        :: STARTS(0, 1) -> n = 0; p = 1
        :: STARTS(1, 1) -> n = 1; p = 1
        :: STARTS(2, 1) -> n = 2; p = 1
#endif
        /* What jobs ask for: a recall of idle pages, a freeze of what home has no copy of */
        :: job == J_COLLECT && IDLE && !AT_HOME(0) -> n = 0; p = 0; want = MODIFIED
        :: collecting && busy[0] == 0 && !HOLDS(HOME, 0) -> n = 0; p = 0; want = SHARED
#if PAGES > 1
        :: job == J_COLLECT && IDLE && !AT_HOME(1) -> n = 0; p = 1; want = MODIFIED
        :: collecting && busy[1] == 0 && !HOLDS(HOME, 1) -> n = 0; p = 1; want = SHARED
#endif
        fi;
        if
        :: want == LOST -> want = wanted[AT(n, p)]; wanted[AT(n, p)] = LOST
        :: else -> skip /* a request of home's own goes on waiting */
        fi;
        start(n, p, want);
        n = 0; p = 0; want = 0 }
    /* Threads at home */
    :: atomic { faults > 0 ->
        faults--;
        select(p : 0 .. PAGES - 1);
        select(to : SHARED .. EXCLUSIVE);
        if
        :: AT_HOME(p) ->
            assert(loose || ALONE(HOME, p));
            if
            :: perm[AT(HOME, p)] == 0 -> map_install(HOME, p, 0, true)
            :: else -> perm[AT(HOME, p)] = 2
            fi
        :: !AT_HOME(p) && HOLDS(HOME, p) && to == SHARED -> assert(perm[AT(HOME, p)] == 1)
        :: else ->
            if
            :: wanted[AT(HOME, p)] == LOST -> wanted[AT(HOME, p)] = (to == SHARED -> SHARED : MODIFIED)
            :: wanted[AT(HOME, p)] == LOST && !frozen -> wanted[AT(HOME, p)] = MODIFIED
            :: else -> skip
            fi
        fi;
        p = 0; to = 0 }
    :: atomic { writes > 0 && perm[AT(HOME, 0)] == 2 -> map_write(HOME, 0, home_epoch[0]) }
#if PAGES > 1
    :: atomic { writes > 0 && perm[AT(HOME, 1)] == 2 -> map_write(HOME, 1, home_epoch[1]) }
#endif
    /* Another process writes: a fault, as those of threads; then the kernel gets hold of the page; then it writes */
    :: atomic { foreigns > 0 && !foreign[0] ->
        foreigns--;
        foreign[0] = true;
        if
        :: AT_HOME(0) && perm[AT(HOME, 0)] == 0 -> map_install(HOME, 0, 0, true)
        :: AT_HOME(0) && perm[AT(HOME, 0)] != 0 -> perm[AT(HOME, 0)] = 2
        :: !AT_HOME(0) -> wanted[AT(HOME, 0)] = MODIFIED
        fi }
    :: atomic { foreign[0] && !seized[0] && writes > 0 && perm[AT(HOME, 0)] == 2 -> seized[0] = true }
    :: atomic { seized[0] ->
        seized[0] = false;
        if
        :: writes > 0 -> map_write(HOME, 0, home_epoch[0])
        :: else -> skip
        fi }
    /* A thread leaves and takes its pages along */
    :: atomic { moves > 0 && !frozen && job == J_NONE && (RESTS(0)
#if PAGES > 1
        || RESTS(1)
#endif
        ) ->
        moves--;
        if
        :: RESTS(0) -> p = 0
#if PAGES > 1
        :: RESTS(1) -> p = 1
#endif
        fi;
        select(n : 1 .. 2);
#ifndef MUTANT_PUSH_UNTOLD
        pushed[p] = true;
#endif
        grant(n, p, MODIFIED, NONE, 0);
        n = 0; p = 0 }
    /* Jobs: drop and recall */
    :: atomic { job == J_NONE && !frozen && (drops > 0 || recalls > 0) ->
        if
        :: drops > 0 -> drops--; job_keeps = false; loose = true
        :: recalls > 0 -> recalls--; job_keeps = true
        fi;
        job = J_DRAIN;
        p = 0;
        do
        :: p < PAGES ->
#ifndef MUTANT_JOB_KEEPS_REQUESTS
            wanted[AT(1, p)] = LOST; wanted[AT(2, p)] = LOST;
#endif
            p++
        :: else -> break
        od;
        p = 0 }
#ifdef MUTANT_JOB_DOES_NOT_WAIT
    :: atomic { job == J_DRAIN && !job_keeps -> job_send() }
#endif
    :: atomic { job == J_DRAIN && IDLE && job_keeps -> job = J_COLLECT }
    :: atomic { IDLE && ((job == J_DRAIN && !job_keeps) || (job == J_COLLECT && ALL_AT_HOME)) -> job_send() }
    :: atomic { job == J_WAIT && waiting == 0 ->
        job = J_NONE;
        p = 0;
        do
        :: p < PAGES ->
            assert(loose || ALONE(HOME, p));
            if
            :: loose -> /* home unmaps or clears */
                assert(perm[AT(1, p)] == 0 && perm[AT(2, p)] == 0);
                perm[AT(HOME, p)] = 0; memory[AT(HOME, p)] = 0;
                foreign[p] = false; seized[p] = false;
                latest[p] = 0; last_epoch[p] = 0; last_writer[p] = NODES
            :: else -> assert(perm[AT(HOME, p)] == 2 || latest[p] == 0)
            fi;
            p++
        :: else -> break
        od;
        p = 0;
        loose = false }
    /* Freeze and thaw */
    :: atomic { freezes > 0 && job == J_NONE && !frozen -> freezes--; frozen = true; collecting = true }
    :: atomic { collecting && ALL_CURRENT ->
        collecting = false;
        frozen_done = true;
        frozen_check() }
    :: atomic { frozen_done -> frozen_check(); frozen_done = false; frozen = false }
    od
}

#define NOTHING(n, p) (asked[AT(n, p)] == LOST && wanted[AT(n, p)] == LOST && !recalled[AT(n, p)])
#define QUIET(p) (NOTHING(0, p) && NOTHING(1, p) && NOTHING(2, p) && busy[p] == 0)

proctype Quiet()
{
    timeout ->
    assert(QUIET(0));
#if PAGES > 1
    assert(QUIET(1));
#endif
    assert(job == J_NONE && !frozen && len(up[1]) == 0 && len(up[2]) == 0 && len(down[1]) == 0 && len(down[2]) == 0)
}

init {
    byte i;
    atomic {
        do
        :: i < PAGES ->
            holders[i] = BIT(HOME);
            granted[i] = MODIFIED;
            home_epoch[i] = 1;
            source[i] = NODES;
            last_writer[i] = NODES;
            mapped[AT(0, i)] = true; mapped[AT(1, i)] = true; mapped[AT(2, i)] = true;
            i++
        :: else -> break
        od;
        run Home();
        run Peer(1);
        run Peer(2);
        run Quiet()
    }
}
