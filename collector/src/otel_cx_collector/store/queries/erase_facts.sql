-- Takes the facts of one account out of every part.
ALTER TABLE facts DELETE
WHERE sipHash128(account) = unhex({digest:String})
SETTINGS mutations_sync = 2, max_execution_time = 0
