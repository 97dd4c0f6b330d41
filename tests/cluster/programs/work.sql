-- A table, an index, a transaction, a join, a window function and an integrity check.
create table t(id integer primary key, k integer, v text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into t select i, (i * 7919) % 1009, printf('value %d', i) from n;
create index t_k on t(k);
begin;
update t set v = v || '!' where k % 3 = 0;
delete from t where k = 5;
commit;
select count(*), sum(k), sum(length(v)) from t;
select a.k, count(*) from t a join t b on a.k = b.k + 1 where a.k < 5 group by a.k;
select k, rank() over (order by count(*) desc, k) from t group by k limit 5;
pragma integrity_check;
