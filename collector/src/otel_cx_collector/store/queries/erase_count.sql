-- How many copies of rows are of one customer or account; and the hash that they are erased by.
SELECT
    hex(sipHash128({pseudonym:String})) AS digest,
    (
        SELECT count() FROM steps
        WHERE {column:Identifier} = {pseudonym:String} OR (grade = 'customer' AND attempt = {pseudonym:String})
    ) AS steps,
    (SELECT count() FROM facts WHERE account = {pseudonym:String}) AS facts
